// Two pods of one node: the packet's life from one pod's link into the other's.
#include "harness/bed.h"

namespace weir {
namespace {

class PodToPod : public PacketTest {
 protected:
  // pod_a:40000 speaks to pod_b:80; the frames are compared byte for byte, checksums included.
  Outcome request(int flags, std::size_t size = 0) {
    return forwarded(kLinkA, ip(cast().pod_a, cast().pod_b), kMacB, tcp(40000, 80, flags), size);
  }
  Outcome reply(int flags, std::size_t size = 0) {
    return forwarded(kLinkB, ip(cast().pod_b, cast().pod_a), kMacA, tcp(80, 40000, flags), size);
  }
  Outcome forwarded(std::uint32_t link, const Ip& head, const Mac& to, const Tcp& tcp,
                    std::size_t size) {
    const Outcome out = bed().from_pod(link, eth() / head / tcp / payload(size));
    EXPECT_EQ(out.verdict, kRedirect);
    EXPECT_TRUE(same_packet(out.frame, eth(to, kMacLink) / head.ttl(63) / tcp / payload(size)));
    return out;
  }
  weir_ct entry() { return bed().connection(cast().pod_a, 40000, cast().pod_b, 80, 6).value(); }
  std::uint64_t header() const { return (cast().v4() ? 20 : 40) + 20; }
};

TEST_P(PodToPod, RequestAndReplyAreOneEntry) {
  request(SYN);
  reply(SYN | ACK);
  request(ACK, 100);
  EXPECT_EQ(bed().connections(), 1u);
  const weir_ct ct = entry();
  EXPECT_EQ(ct.state, WEIR_CT_LIVE);
  EXPECT_EQ(ct.flags, static_cast<__u32>(WEIR_CT_REPLIED));  // pod_a is the lower address
  EXPECT_EQ(ct.path[0].out, WEIR_OUT_LOCAL);
  EXPECT_EQ(ct.path[0].in_ifindex, kLinkA);
  EXPECT_EQ(ct.path[0].out_ifindex, kLinkB);
  EXPECT_EQ(ct.path[1].in_ifindex, kLinkB);
  EXPECT_EQ(ct.path[1].out_ifindex, kLinkA);
  EXPECT_EQ(ct.packets[0], 2u);
  EXPECT_EQ(ct.packets[1], 1u);
  EXPECT_EQ(ct.bytes[0], 2 * header() + 100);
  EXPECT_EQ(ct.bytes[1], header());
}

// Only what is queued at the link needs the mark: to_pod meets it there, and lets it pass
// uncounted.
TEST_P(PodToPod, AQueuedPodGetsItsPacketsByItsLinksEgress) {
  EXPECT_EQ(request(SYN).mark & kMarkMask, 0u);
  bed().entries().endpoints[cast().pod_b].queued = 1;
  bed().apply();
  EXPECT_EQ(reply(SYN | ACK).mark & kMarkMask, 0u);
  for (int i = 0; i < 2; ++i) {  // judged anew, then by the entry
    const Outcome out = request(ACK, 100);
    EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
    EXPECT_EQ(bed()
                  .run({.hook = WEIR_HOOK_TO_POD, .ifindex = kLinkB, .mark = out.mark}, out.frame)
                  .verdict,
              kNext);
  }
  EXPECT_EQ(bed().metric(WEIR_HOOK_TO_POD, WEIR_OUTCOME_IN).packets, 0u);
  EXPECT_EQ(bed().connections(), 1u);
  bed().entries().endpoints[cast().pod_b].queued = 0;
  bed().apply();
  EXPECT_EQ(request(ACK).mark & kMarkMask, 0u);
}

TEST_P(PodToPod, TheHigherAddressMayOpenTheConnection) {
  reply(SYN);
  request(SYN | ACK);
  EXPECT_EQ(entry().flags,
            static_cast<__u32>(WEIR_CT_OPENER_HI | WEIR_CT_REPLIED | WEIR_CT_OPENING));
  reply(ACK);
  EXPECT_EQ(entry().flags, static_cast<__u32>(WEIR_CT_OPENER_HI | WEIR_CT_REPLIED));
}

TEST_P(PodToPod, EveryPacketIsCountedOnce) {
  request(SYN);
  reply(SYN | ACK);
  const weir_metric in = bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_IN);
  const weir_metric out = bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_FORWARD);
  EXPECT_EQ(in.packets, 2u);
  EXPECT_EQ(in.bytes, 2 * header());
  EXPECT_EQ(out.packets, 2u);
}

TEST_P(PodToPod, NewAndEstablishedAreToldOnce) {
  const Outcome syn = request(SYN);
  ASSERT_EQ(syn.events.size(), 1u);
  const weir_event& opened = syn.events[0];
  EXPECT_EQ(opened.type, WEIR_EVENT_NEW);
  EXPECT_EQ(from_abi(opened.src), cast().pod_a);
  EXPECT_EQ(from_abi(opened.dst), cast().pod_b);
  EXPECT_EQ(ntohs(opened.src_port), 40000);
  EXPECT_EQ(ntohs(opened.dst_port), 80);
  EXPECT_EQ(opened.proto, 6);
  EXPECT_EQ(opened.hook, WEIR_HOOK_FROM_POD);
  EXPECT_EQ(opened.out, WEIR_OUT_LOCAL);
  EXPECT_EQ(opened.ifindex, kLinkA);
  const Outcome syn_ack = reply(SYN | ACK);
  ASSERT_EQ(syn_ack.events.size(), 1u);
  const weir_event& established = syn_ack.events[0];
  EXPECT_EQ(established.type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(from_abi(established.src), cast().pod_a);
  EXPECT_EQ(established.duration_ns,
            established.time_ns > opened.time_ns ? entry().replied_ns - entry().created_ns : 0);
  EXPECT_GT(established.duration_ns, 0u);
  EXPECT_TRUE(request(ACK).events.empty());
  EXPECT_TRUE(reply(ACK | PSH, 10).events.empty());
}

TEST_P(PodToPod, BothFinsCloseAndTellWhoBegan) {
  request(SYN);
  reply(SYN | ACK);
  EXPECT_TRUE(reply(FIN | ACK).events.empty());
  const Outcome fin = request(FIN | ACK);
  ASSERT_EQ(fin.events.size(), 1u);
  const weir_event& closed = fin.events[0];
  EXPECT_EQ(closed.type, WEIR_EVENT_CLOSED);
  EXPECT_EQ(closed.flags & (WEIR_EVENT_BY_RESPONDER | WEIR_EVENT_RESET), WEIR_EVENT_BY_RESPONDER);
  EXPECT_EQ(closed.packets[0], 2u);
  EXPECT_EQ(closed.packets[1], 2u);
  EXPECT_EQ(closed.bytes[0], 2 * header());
  EXPECT_GT(closed.duration_ns, 0u);
  EXPECT_TRUE(reply(ACK).events.empty());
  EXPECT_TRUE(request(FIN | ACK).events.empty());  // sent again
}

TEST_P(PodToPod, OneResetCloses) {
  request(SYN);
  reply(SYN | ACK);
  const Outcome reset = request(RST);
  ASSERT_EQ(reset.events.size(), 1u);
  EXPECT_EQ(reset.events[0].type, WEIR_EVENT_CLOSED);
  EXPECT_EQ(reset.events[0].flags & (WEIR_EVENT_BY_RESPONDER | WEIR_EVENT_RESET), WEIR_EVENT_RESET);
  EXPECT_TRUE(reply(RST).events.empty());
}

TEST_P(PodToPod, ARefusedConnectionWasNeverEstablished) {
  request(SYN);
  const Outcome refused = reply(RST | ACK);
  ASSERT_EQ(refused.events.size(), 1u);
  EXPECT_EQ(refused.events[0].type, WEIR_EVENT_CLOSED);
  EXPECT_EQ(refused.events[0].flags & (WEIR_EVENT_BY_RESPONDER | WEIR_EVENT_RESET),
            WEIR_EVENT_BY_RESPONDER | WEIR_EVENT_RESET);
}

TEST_P(PodToPod, AClosedTupleOpensANewConnectionAndEndsTheOldBooks) {
  request(SYN);
  reply(SYN | ACK);
  request(RST);
  const Outcome again = request(SYN);
  ASSERT_EQ(again.events.size(), 2u);
  EXPECT_EQ(again.events[0].type, WEIR_EVENT_ENDED);
  EXPECT_EQ(again.events[0].packets[0], 2u);
  EXPECT_EQ(again.events[0].packets[1], 1u);
  EXPECT_TRUE(again.events[0].flags & WEIR_EVENT_SEEN_CLOSED);
  EXPECT_EQ(again.events[1].type, WEIR_EVENT_NEW);
  EXPECT_EQ(entry().packets[0], 1u);
  EXPECT_EQ(entry().flags & WEIR_CT_CLOSED, 0u);
}

TEST_P(PodToPod, ASpoofedSynDoesNotEndTheBooksOfAClosedConnection) {
  request(SYN);
  request(RST);
  const Outcome spoofed =
      bed().from_pod(kLinkB, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, SYN));
  EXPECT_EQ(spoofed.reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(spoofed.events.size(), 1u);
  EXPECT_EQ(entry().packets[0], 2u);
}

TEST_P(PodToPod, UdpAndPing) {
  const auto there = ip(cast().pod_a, cast().pod_b);
  const auto back = ip(cast().pod_b, cast().pod_a);
  const Outcome question = bed().from_pod(kLinkA, eth() / there / udp(5000, 53) / payload(30));
  EXPECT_TRUE(same_packet(question.frame,
                          eth(kMacB, kMacLink) / there.ttl(63) / udp(5000, 53) / payload(30)));
  const Outcome answer = bed().from_pod(kLinkB, eth() / back / udp(53, 5000) / payload(31));
  EXPECT_EQ(answer.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  const Outcome echo = bed().from_pod(kLinkA, eth() / there / ping(77) / payload(56));
  EXPECT_TRUE(
      same_packet(echo.frame, eth(kMacB, kMacLink) / there.ttl(63) / ping(77) / payload(56)));
  EXPECT_EQ(ntohs(echo.events.at(0).src_port), 77);
  EXPECT_EQ(ntohs(echo.events.at(0).dst_port), cast().v4() ? 0x0800 : 0x8000);
  const Outcome answered = bed().from_pod(kLinkB, eth() / back / pong(77) / payload(56));
  EXPECT_EQ(answered.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(PodToPod, AnyProtocolGoesByAddressesAlone) {
  auto gre = ip(cast().pod_a, cast().pod_b);
  gre.proto = 47;
  const Outcome out = bed().from_pod(kLinkA, eth() / gre / payload(20));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_TRUE(bed().connection(cast().pod_a, 0, cast().pod_b, 0, 47));
}

TEST_P(PodToPod, AnAddressOfTheRangeWithoutPodIsUnknown) {
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_gone) / tcp(40000, 80, SYN));
  EXPECT_EQ(out.verdict, kDropped);
  EXPECT_EQ(out.reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_POD_UNKNOWN), 1u);
}

WEIR_BOTH_FAMILIES(PodToPod);

}  // namespace
}  // namespace weir
