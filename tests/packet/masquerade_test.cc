// Pods that speak to the outside with the node's address.
#include <set>

#include "harness/bed.h"

namespace weir {
namespace {

class Masquerade : public PacketTest {
 protected:
  Outcome out(const auto& l4, const Address& dst) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, dst) / l4);
  }
  Outcome out(const auto& l4) { return out(l4, cast().outside); }
  // The answer as the outside sends it, to the node.
  Outcome in(const auto& l4) {
    return bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / l4);
  }
  std::uint16_t port_of(const Outcome& outcome) {
    const auto wire = Wire::parse(outcome.frame);
    return wire && wire->src_port ? *wire->src_port : 0;
  }
};

TEST_P(Masquerade, RequestAndReplyAreTwoEntries) {
  const Outcome request = out(tcp(62000, 443, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(request.mark & kMarkMask, kMarkJudged);
  EXPECT_TRUE(same_packet(request.frame,
                          eth() / ip(cast().node, cast().outside).ttl(63) / tcp(62000, 443, SYN)))
      << "a port in the range is kept";
  const weir_event& opened = request.events.at(0);
  EXPECT_EQ(opened.type, WEIR_EVENT_NEW);
  EXPECT_EQ(from_abi(opened.src), cast().pod_a);
  EXPECT_EQ(from_abi(opened.nat_addr), cast().node);
  EXPECT_EQ(ntohs(opened.nat_port), 62000);

  const Outcome reply = in(tcp(443, 62000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(
      same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) /
                                   tcp(443, 62000, SYN | ACK)));
  const weir_event& established = reply.events.at(0);
  EXPECT_EQ(established.type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(from_abi(established.src), cast().pod_a);
  EXPECT_EQ(from_abi(established.dst), cast().outside);
  EXPECT_EQ(bed().connections(), 2u);

  const weir_ct books = bed().connection(cast().pod_a, 62000, cast().outside, 443, 6).value();
  const weir_ct half = bed().connection(cast().node, 62000, cast().outside, 443, 6).value();
  EXPECT_TRUE(books.flags & WEIR_CT_NAT);
  EXPECT_TRUE(half.flags & WEIR_CT_NAT_REPLY);
  EXPECT_EQ(from_abi(half.peer.addr[half.flags & WEIR_CT_PEER_HI ? 1 : 0]), cast().pod_a);
  EXPECT_EQ(books.packets[0] + books.packets[1], 1u);
  EXPECT_EQ(half.packets[0] + half.packets[1], 1u);
}

TEST_P(Masquerade, BothHalvesCountInTheEnd) {
  out(tcp(62000, 443, SYN));
  in(tcp(443, 62000, SYN | ACK));
  out(tcp(62000, 443, ACK));
  EXPECT_TRUE(in(Tcp{443, 62000, FIN | ACK}).events.empty());
  const Outcome fin = out(tcp(62000, 443, FIN | ACK));
  ASSERT_EQ(fin.events.size(), 1u);
  EXPECT_EQ(fin.events[0].type, WEIR_EVENT_CLOSED);
  EXPECT_EQ(fin.events[0].packets[0], 3u);
  EXPECT_EQ(fin.events[0].packets[1], 2u);
  EXPECT_TRUE(fin.events[0].flags & WEIR_EVENT_BY_RESPONDER);
  EXPECT_EQ(ntohs(fin.events[0].nat_port), 62000);
}

TEST_P(Masquerade, AClosedTupleOpensANewPair) {
  out(tcp(62000, 443, SYN));
  in(tcp(443, 62000, RST));
  const Outcome again = out(tcp(62000, 443, SYN));
  ASSERT_EQ(again.events.size(), 2u);
  EXPECT_EQ(again.events[0].type, WEIR_EVENT_ENDED);
  EXPECT_EQ(again.events[0].packets[1], 1u);
  EXPECT_EQ(again.events[1].type, WEIR_EVENT_NEW);
  EXPECT_EQ(bed().connections(), 2u);
  EXPECT_EQ(in(tcp(443, 62000, SYN | ACK)).verdict, kRedirect);
}

TEST_P(Masquerade, ASynFromOutsideOpensNothingBehindAClosedPair) {
  out(tcp(62000, 443, SYN));
  in(tcp(443, 62000, RST));
  const Outcome knock = in(tcp(443, 62000, SYN));
  EXPECT_EQ(knock.verdict, kNext);
  EXPECT_TRUE(knock.events.empty());
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(Masquerade, UdpAndItsAnswer) {
  const Outcome request = out(udp(62000, 53));
  EXPECT_TRUE(
      same_packet(request.frame, eth() / ip(cast().node, cast().outside).ttl(63) / udp(62000, 53)));
  const Outcome reply = in(udp(53, 62000));
  EXPECT_TRUE(same_packet(
      reply.frame,
      eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / udp(53, 62000)));
}

TEST_P(Masquerade, APortOutsideTheRangeIsReplaced) {
  const Outcome request = out(udp(5000, 53));
  const std::uint16_t port = port_of(request);
  EXPECT_GE(port, 61000);
  EXPECT_TRUE(
      same_packet(request.frame, eth() / ip(cast().node, cast().outside).ttl(63) / udp(port, 53)));
  EXPECT_EQ(port_of(out(udp(5000, 53))), port) << "for the whole connection";
  EXPECT_TRUE(
      same_packet(in(udp(53, port)).frame,
                  eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / udp(53, 5000)));
}

TEST_P(Masquerade, UdpWithoutChecksumStaysWithout) {
  for (int i = 0; i < 2; ++i) {  // by helpers, then in place
    const Outcome request = out(Udp{5000, 53, false});
    EXPECT_TRUE(same_packet(request.frame, eth() / ip(cast().node, cast().outside).ttl(63) /
                                               Udp{port_of(request), 53, false}));
    const Outcome reply =
        bed().from_nic(eth() / ip(cast().outside, cast().node) / Udp{53, port_of(request), false});
    EXPECT_TRUE(same_packet(
        reply.frame,
        eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / Udp{53, 5000, false}));
  }
}

TEST_P(Masquerade, PingHasItsIdentifierReplaced) {
  const Outcome request =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / ping(7) / payload(56));
  const std::uint16_t id = Wire::parse(request.frame)->echo_id.value_or(0);
  EXPECT_GE(id, 61000);
  EXPECT_TRUE(same_packet(
      request.frame, eth() / ip(cast().node, cast().outside).ttl(63) / ping(id) / payload(56)));
  const Outcome reply =
      bed().from_nic(eth() / ip(cast().outside, cast().node) / pong(id) / payload(56));
  EXPECT_TRUE(same_packet(
      reply.frame,
      eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / pong(7) / payload(56)));
  EXPECT_EQ(reply.events.at(0).type, WEIR_EVENT_ESTABLISHED);
}

TEST_P(Masquerade, TwoPodsWithOnePortGetTwo) {
  EXPECT_EQ(port_of(out(udp(62000, 53))), 62000);
  const Outcome other =
      bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().outside) / udp(62000, 53));
  const std::uint16_t port = port_of(other);
  EXPECT_NE(port, 62000);
  EXPECT_EQ(port_of(out(udp(62000, 53), cast().outside_2)), 62000) << "to elsewhere it is free";
  EXPECT_TRUE(same_packet(
      in(udp(53, port)).frame,
      eth(kMacB, kMacLink) / ip(cast().outside, cast().pod_b).ttl(63) / udp(53, 62000)));
}

TEST_P(Masquerade, AFullRangeIsExhausted) {
  start_with_ports(61000, 61003);
  std::set<std::uint16_t> ports;
  int exhausted = 0;
  for (std::uint16_t source = 1000; source < 1020; ++source) {
    const Outcome request = out(udp(source, 53));
    if (request.reason() == WEIR_DROP_NAT_EXHAUSTED) {
      ++exhausted;
    } else {
      EXPECT_TRUE(ports.insert(port_of(request)).second) << "given twice";
    }
  }
  EXPECT_EQ(ports.size(), 4u);
  EXPECT_EQ(exhausted, 16);
  EXPECT_EQ(bed().connections(), 8u) << "what is refused leaves nothing behind";
  EXPECT_EQ(out(udp(1000, 53), cast().outside_2).verdict, kRedirect);
}

TEST_P(Masquerade, ARangeOfOnePort) {
  start_with_ports(65535, 65535);
  EXPECT_EQ(port_of(out(udp(5000, 53))), 65535);
  EXPECT_EQ(out(udp(5001, 53)).reason(), WEIR_DROP_NAT_EXHAUSTED);
}

TEST_P(Masquerade, SomeDestinationsSeeThePodsOwnAddress) {
  const int full = cast().v4() ? 32 : 128;
  weir_route route{};
  route.kind = WEIR_ROUTE_OUTSIDE;
  route.flags = WEIR_ROUTE_KEEP_SOURCE;
  bed().entries().routes[Cidr(cast().outside, full)] = route;
  bed().apply();
  const Outcome request = out(tcp(40000, 443, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(request.frame,
                          eth() / ip(cast().pod_a, cast().outside).ttl(63) / tcp(40000, 443, SYN)));
  const Outcome reply =
      bed().from_nic(eth() / ip(cast().outside, cast().pod_a) / tcp(443, 40000, SYN | ACK));
  EXPECT_TRUE(
      same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) /
                                   tcp(443, 40000, SYN | ACK)));
  EXPECT_EQ(bed().connections(), 1u);
  // Of protocols that cannot be translated, too, and what the stack has routed.
  Ip head = ip(cast().pod_a, cast().outside);
  head.proto = 47;
  EXPECT_EQ(bed().from_pod(kLinkA, eth() / head / payload(20)).verdict, kRedirect);
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().pod_a, cast().outside) / udp(1, 2)).verdict, kNext);
  // Others are translated as ever, also where a wider route says so.
  EXPECT_GE(port_of(out(udp(5000, 53), cast().outside_2)), 61000);
  route.flags = 0;
  bed().entries().routes[Cidr(cast().outside_2, full)] = route;
  bed().apply();
  EXPECT_GE(port_of(out(udp(5001, 53), cast().outside_2)), 61000);
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().pod_a, cast().outside_2) / udp(1, 2)).reason(),
            WEIR_DROP_NOT_TRANSLATABLE);
}

TEST_P(Masquerade, WithoutANodeAddressThereIsNone) {
  BedOptions options = small();
  options.uplink_has_addresses = false;
  start(options);
  EXPECT_EQ(out(udp(5000, 53)).reason(), WEIR_DROP_NAT_NO_ADDRESS);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Masquerade, OtherProtocolsDoNotLeave) {
  Ip head = ip(cast().pod_a, cast().outside);
  head.proto = 47;
  EXPECT_EQ(bed().from_pod(kLinkA, eth() / head / payload(20)).reason(),
            WEIR_DROP_NOT_TRANSLATABLE);
  EXPECT_EQ(out(IcmpHeader{static_cast<std::uint8_t>(cast().v4() ? 13 : 135), 0}).reason(),
            WEIR_DROP_NOT_TRANSLATABLE);
}

TEST_P(Masquerade, OffPacketsLeaveAsTheyAre) {
  BedOptions options = small();
  options.settings.masquerade = false;
  start(options);
  EXPECT_TRUE(same_packet(out(udp(5000, 53)).frame,
                          eth() / ip(cast().pod_a, cast().outside).ttl(63) / udp(5000, 53)));
  EXPECT_EQ(bed().connections(), 1u);
  EXPECT_EQ(bed().from_nic(eth() / ip(cast().outside, cast().pod_a) / udp(53, 5000)).verdict,
            kRedirect);
}

TEST_P(Masquerade, AnswersFollowThePod) {
  out(udp(62000, 53));
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    bed().entries().endpoints[cast_of(family).pod_a].ifindex = kLinkSpare;
  }
  bed().apply();
  const Outcome reply = in(udp(53, 62000));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_EQ(bed()
                .connection(cast().node, 62000, cast().outside, 53, 17)
                ->path[cast().node < cast().outside ? 1 : 0]
                .out_ifindex,
            kLinkSpare);
  bed().entries().endpoints.erase(cast().pod_a);
  bed().apply();
  EXPECT_EQ(in(udp(53, 62000)).reason(), WEIR_DROP_POD_UNKNOWN);
}

TEST_P(Masquerade, OnlyTheNetAnswers) {
  out(udp(62000, 53));
  const Packet answer = eth() / ip(cast().outside, cast().node) / udp(53, 62000);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(bed().from_pod(kLinkB, answer).reason(), WEIR_DROP_SPOOFED) << round;
    EXPECT_EQ(bed().from_tunnel(cast().node_r, answer).verdict, kDropped) << round;
    bed().plane().routes_changed();  // now with the entry's epoch past
  }
  EXPECT_EQ(in(udp(53, 62000)).verdict, kRedirect) << "and nobody has bent its path";
}

WEIR_BOTH_FAMILIES(Masquerade);

}  // namespace
}  // namespace weir
