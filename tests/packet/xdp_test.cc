// XDP: what it sends on is, byte for byte, what TC would have sent; all else it leaves to TC.
#include <bpf/bpf.h>

#include <chrono>
#include <cstring>
#include <random>

#include "harness/services.h"

namespace weir {
namespace {

constexpr std::uint16_t kNodePort = 30080;

class Xdp : public PacketTest {
 protected:
  void SetUp() override { begin(true); }
  void begin(bool tunnel) {
    BedOptions options = small();
    options.settings.xdp = true;
    options.settings.tunnel = tunnel;
    start(options);
    program_ = bed().pinned_program("xdp");
    // The kernel lets a test run name a link only when its driver has XDP.
    ASSERT_TRUE(bed().plane().attach_xdp("up0", kUplink));
    services_ = std::make_unique<TestServices>(bed());
  }

  XdpOutcome run(const Bytes& frame) { return bed().run_xdp(program_.get(), frame); }
  // The first packet of a second to a next hop is left to TC.
  XdpOutcome run_twice(const Bytes& frame) {
    const XdpOutcome first = run(frame);
    return first.verdict == XDP_PASS ? run(frame) : first;
  }
  // Also not the second one, which finds the next hop.
  testing::AssertionResult is_left(const Bytes& frame) {
    const XdpOutcome sent = run_twice(frame);
    if (sent.verdict != XDP_PASS) return testing::AssertionFailure() << "verdict " << sent.verdict;
    return same_packet(sent.frame, frame);
  }
  testing::AssertionResult is_left(const Packet& packet) { return is_left(packet.bytes()); }

  void node_port(std::vector<TestServices::Backend> backends, int proto = 6) {
    services_->add({.vip = TestServices::any(GetParam()),
                    .port = kNodePort,
                    .proto = proto,
                    .backends = std::move(backends),
                    .flags = WEIR_SERVICE_EXTERNAL});
  }
  // As they come by the cable: with the uplink's link address.
  Packet from_client(const auto& l4) const {
    return eth(kMacUplink, kMacGateway) / ip(cast().outside, cast().node) / l4;
  }
  Packet from_backend(const auto& l4) const {
    return eth(kMacUplink, kMacNodeR) / ip(cast().pod_r, cast().node) / l4;
  }
  // A connection from outside by this node to pod_r, both of whose sides have spoken; gives the
  // source port that the backend sees.
  std::uint16_t open(std::uint16_t client_port) {
    const Outcome request = bed().from_nic(from_client(tcp(client_port, kNodePort, SYN)));
    const auto wire = Wire::parse(request.frame);
    if (!wire || !wire->src_port) throw std::runtime_error("not opened");
    answer(tcp(8080, *wire->src_port, SYN | ACK));
    bed().from_nic(from_client(tcp(client_port, kNodePort, ACK)));
    return *wire->src_port;
  }
  Outcome answer(const auto& l4) {
    return tunnel_ ? bed().from_tunnel(cast().node_r, from_backend(l4))
                   : bed().from_nic(from_backend(l4));
  }

  Bytes wrapped(const Packet& inner, const Address& from, const Address& to, const Mac& dst_mac,
                const Mac& src_mac, const Bytes& like, std::uint32_t vni = Settings().tunnel_vni) {
    return wrap(inner.bytes(), from, to, like, dst_mac, src_mac, vni);
  }
  // In the tunnel's headers, of which `like` has what is not determined.
  Bytes wrap(const Bytes& frame, const Address& from, const Address& to, const Bytes& like,
             const Mac& dst_mac = kMacUplink, const Mac& src_mac = kMacNodeR,
             std::uint32_t vni = Settings().tunnel_vni) {
    Payload inside;
    inside.bytes = {0x08, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(vni), 0};
    inside.bytes.insert(inside.bytes.end(), frame.begin(), frame.end());
    Ip outer = ip(from, to);
    const std::size_t header = from.is_v4() ? 20 : 40;
    std::uint16_t port = 50000;
    if (like.size() > 14 + header + 2) {
      port = static_cast<std::uint16_t>(like[14 + header] << 8 | like[14 + header + 1]);
      outer.id = static_cast<std::uint16_t>(like[18] << 8 | like[19]);
    }
    Udp l4 = udp(port, Settings().tunnel_port);
    l4.checksum = !from.is_v4();
    return (eth(dst_mac, src_mac) / outer / l4 / inside).bytes();
  }
  Bytes out_of_tunnel(const Packet& inner) {
    return wrapped(inner, cast().node_r, cast().node, kMacUplink, kMacNodeR, {});
  }

  bool tunnel_ = true;
  Fd program_;
  std::unique_ptr<TestServices> services_;
};

TEST_P(Xdp, AClientsPacketGoesOnInTheTunnel) {
  node_port({{cast().pod_r, 8080}});
  const std::uint16_t port = open(40000);
  for (const std::size_t size : {0, 1, 700, 1380}) {
    const XdpOutcome sent =
        run_twice((from_client(tcp(40000, kNodePort, ACK | PSH)) / payload(size)).bytes());
    EXPECT_EQ(sent.verdict, XDP_TX);
    const Packet inner = eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) /
                         tcp(port, 8080, ACK | PSH) / payload(size);
    EXPECT_TRUE(same_packet(
        sent.frame, wrapped(inner, cast().node, cast().node_r, kMacNodeR, kMacUplink, sent.frame)));
  }
}

TEST_P(Xdp, AnswersComeOutOfTheTunnel) {
  node_port({{cast().pod_r, 8080}});
  const std::uint16_t port = open(40000);
  for (const std::size_t size : {0, 1, 700, 1400}) {
    const XdpOutcome sent =
        run_twice(out_of_tunnel(eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().node) /
                                tcp(8080, port, ACK) / payload(size)));
    EXPECT_EQ(sent.verdict, XDP_TX);
    EXPECT_TRUE(same_packet(sent.frame, eth(kMacGateway, kMacUplink) /
                                            ip(cast().node, cast().outside).ttl(63) /
                                            tcp(kNodePort, 40000, ACK) / payload(size)));
  }
}

TEST_P(Xdp, WithoutATunnelBothWaysAreRouted) {
  begin(false);
  tunnel_ = false;
  bed().entries().routes[cast().pods_r].node_addr = to_abi(cast().node_r);
  node_port({{cast().node_r, 8080}});
  const Outcome request = bed().from_nic(from_client(tcp(40000, kNodePort, SYN)));
  const std::uint16_t port = Wire::parse(request.frame)->src_port.value();
  const auto backends = [&](const auto& l4) {
    return eth(kMacUplink, kMacNodeR) / ip(cast().node_r, cast().node) / l4;
  };
  bed().from_nic(backends(tcp(8080, port, SYN | ACK)));
  bed().from_nic(from_client(tcp(40000, kNodePort, ACK)));
  const XdpOutcome there = run_twice(from_client(tcp(40000, kNodePort, ACK)).bytes());
  EXPECT_EQ(there.verdict, XDP_TX);
  EXPECT_TRUE(same_packet(
      there.frame,
      eth(kMacNodeR, kMacUplink) / ip(cast().node, cast().node_r).ttl(63) / tcp(port, 8080, ACK)));
  const XdpOutcome back = run_twice(backends(tcp(8080, port, ACK)).bytes());
  EXPECT_EQ(back.verdict, XDP_TX);
  EXPECT_TRUE(same_packet(back.frame, eth(kMacGateway, kMacUplink) /
                                          ip(cast().node, cast().outside).ttl(63) /
                                          tcp(kNodePort, 40000, ACK)));
}

TEST_P(Xdp, UdpAsWell) {
  node_port({{cast().pod_r, 53}}, 17);
  const Outcome request = bed().from_nic(from_client(udp(5000, kNodePort)));
  const std::uint16_t port = Wire::parse(request.frame)->src_port.value();
  EXPECT_TRUE(is_left(from_client(udp(5000, kNodePort)))) << "nobody has answered yet";
  answer(udp(53, port));
  const XdpOutcome there = run_twice((from_client(udp(5000, kNodePort)) / payload(9)).bytes());
  EXPECT_EQ(there.verdict, XDP_TX);
  const Packet inner = eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) /
                       udp(port, 53) / payload(9);
  EXPECT_TRUE(same_packet(
      there.frame, wrapped(inner, cast().node, cast().node_r, kMacNodeR, kMacUplink, there.frame)));
  const XdpOutcome back = run_twice(
      out_of_tunnel(eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().node) / udp(53, port)));
  EXPECT_EQ(back.verdict, XDP_TX);
  EXPECT_TRUE(same_packet(back.frame, eth(kMacGateway, kMacUplink) /
                                          ip(cast().node, cast().outside).ttl(63) /
                                          udp(kNodePort, 5000)));
}

// Which the outer checksum of IPv6 would need.
TEST_P(Xdp, UdpWithoutChecksumStaysWithoutOrIsLeft) {
  node_port({{cast().pod_r, 53}}, 17);
  const Udp question{5000, kNodePort, false};
  const Outcome request = bed().from_nic(from_client(question));
  const std::uint16_t port = Wire::parse(request.frame)->src_port.value();
  answer(Udp{53, port, false});
  const XdpOutcome there = run_twice(from_client(question).bytes());
  if (cast().v4()) {
    const Packet inner =
        eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) / Udp{port, 53, false};
    EXPECT_EQ(there.verdict, XDP_TX);
    EXPECT_TRUE(same_packet(there.frame, wrapped(inner, cast().node, cast().node_r, kMacNodeR,
                                                 kMacUplink, there.frame)));
  } else {
    EXPECT_EQ(there.verdict, XDP_PASS);
  }
  const XdpOutcome back = run_twice(out_of_tunnel(
      eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().node) / Udp{53, port, false}));
  EXPECT_EQ(back.verdict, XDP_TX);
  EXPECT_TRUE(same_packet(back.frame, eth(kMacGateway, kMacUplink) /
                                          ip(cast().node, cast().outside).ttl(63) /
                                          Udp{kNodePort, 5000, false}));
}

// Of the other family than what is inside.
TEST_P(Xdp, TheTunnelMayBeOfEitherFamily) {
  const Cast& other = cast_of(cast().v4() ? Family::kIpv6 : Family::kIpv4);
  bed().entries().routes[cast().pods_r].node_addr = to_abi(other.node_r);
  bed().apply();
  node_port({{cast().pod_r, 8080}});
  const Outcome request = bed().from_nic(from_client(tcp(40000, kNodePort, SYN)));
  const std::uint16_t port = Wire::parse(request.frame)->src_port.value();
  bed().from_tunnel(other.node_r, from_backend(tcp(8080, port, SYN | ACK)));
  bed().from_nic(from_client(tcp(40000, kNodePort, ACK)));
  const XdpOutcome there =
      run_twice((from_client(tcp(40000, kNodePort, ACK)) / payload(33)).bytes());
  EXPECT_EQ(there.verdict, XDP_TX);
  const Packet inner = eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) /
                       tcp(port, 8080, ACK) / payload(33);
  EXPECT_TRUE(same_packet(
      there.frame, wrapped(inner, other.node, other.node_r, kMacNodeR, kMacUplink, there.frame)));
  const Packet answer =
      eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().node) / tcp(8080, port, ACK) / payload(7);
  EXPECT_EQ(run_twice(wrapped(answer, other.node_r, other.node, kMacUplink, kMacNodeR, {})).verdict,
            XDP_TX);
}

TEST_P(Xdp, WhatIsHandedOverKeepsItsTuple) {
  services_->add({.vip = cast().balancer,
                  .port = 80,
                  .backends = {{cast().pod_r, 8080}},
                  .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING | WEIR_SERVICE_DSR});
  const auto client = [&](int flags) {
    return eth(kMacUplink, kMacGateway) / ip(cast().outside, cast().balancer) /
           tcp(40000, 80, flags);
  };
  bed().from_nic(client(SYN));
  EXPECT_TRUE(is_left(client(ACK))) << "it ends the opening";
  bed().from_nic(client(ACK));
  const XdpOutcome sent = run_twice(client(ACK).bytes());
  EXPECT_EQ(sent.verdict, XDP_TX);
  const Packet inner =
      eth(kMacTunnel, kMacLink) / ip(cast().outside, cast().balancer).ttl(63) / tcp(40000, 80, ACK);
  EXPECT_TRUE(
      same_packet(sent.frame, wrapped(inner, cast().node, cast().node_r, kMacNodeR, kMacUplink,
                                      sent.frame, Settings().tunnel_vni + WEIR_VNI_DSR)));
}

TEST_P(Xdp, CountsWhatItSendsAndNothingElse) {
  node_port({{cast().pod_r, 8080}});
  open(40000);
  const Bytes frame = from_client(tcp(40000, kNodePort, ACK)).bytes();
  const auto before = bed().connection(cast().outside, 40000, cast().node, kNodePort, 6);
  int sent = 0;
  for (int i = 0; i < 10; ++i) sent += run(frame).verdict == XDP_TX;
  ASSERT_GE(sent, 8);
  EXPECT_EQ(bed().metric(WEIR_HOOK_XDP, WEIR_OUTCOME_IN).packets, sent);
  EXPECT_EQ(bed().metric(WEIR_HOOK_XDP, WEIR_OUTCOME_FORWARD).packets, sent);
  const auto after = bed().connection(cast().outside, 40000, cast().node, kNodePort, 6);
  ASSERT_TRUE(before && after);
  EXPECT_EQ(after->packets[0] + after->packets[1] - before->packets[0] - before->packets[1], sent);
  EXPECT_EQ(after->bytes[0] + after->bytes[1] - before->bytes[0] - before->bytes[1],
            sent * (frame.size() - 14));
}

TEST_P(Xdp, OnceASecondTheKernelSeesItsNeighbour) {
  node_port({{cast().pod_r, 8080}});
  open(40000);
  const Bytes frame = from_client(tcp(40000, kNodePort, ACK)).bytes();
  ASSERT_EQ(run(frame).verdict, XDP_PASS) << "nobody is known yet";
  ASSERT_EQ(run(frame).verdict, XDP_TX);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  int passed = 0;
  while (passed == 0 && std::chrono::steady_clock::now() < deadline)
    passed += run(frame).verdict == XDP_PASS;
  EXPECT_EQ(passed, 1);
  EXPECT_EQ(run(frame).verdict, XDP_TX);
}

TEST_P(Xdp, WhatChangesAConnectionIsLeftToTc) {
  node_port({{cast().pod_r, 8080}});
  const std::uint16_t port = open(40000);
  for (const int flags : {+SYN, SYN | ACK, FIN | ACK, +RST, RST | ACK}) {
    EXPECT_TRUE(is_left(from_client(tcp(40000, kNodePort, flags)))) << flags;
    EXPECT_TRUE(is_left(out_of_tunnel(from_backend(tcp(8080, port, flags))))) << flags;
  }
  EXPECT_TRUE(is_left(from_client(tcp(40001, kNodePort, ACK)))) << "another connection";
  bed().from_nic(from_client(tcp(40000, kNodePort, RST)));
  EXPECT_TRUE(is_left(from_client(tcp(40000, kNodePort, ACK)))) << "it is closed";
}

TEST_P(Xdp, ConnectionsOfAnotherEpochAreLeftToTc) {
  node_port({{cast().pod_r, 8080}});
  open(40000);
  const Bytes frame = from_client(tcp(40000, kNodePort, ACK)).bytes();
  ASSERT_EQ(run_twice(frame).verdict, XDP_TX);
  services_->publish();
  EXPECT_TRUE(is_left(frame));
  bed().from_nic(frame);
  EXPECT_EQ(run(frame).verdict, XDP_TX);
}

TEST_P(Xdp, OddPacketsAreLeftToTc) {
  node_port({{cast().pod_r, 8080}});
  open(40000);
  const auto l4 = tcp(40000, kNodePort, ACK);
  ASSERT_EQ(run_twice(from_client(l4).bytes()).verdict, XDP_TX);
  const Ip header = ip(cast().outside, cast().node);
  const Packet link = eth(kMacUplink, kMacGateway);
  EXPECT_TRUE(is_left(link / header.ttl(1) / l4)) << "the last hop";
  EXPECT_TRUE(is_left(eth(kMacOther, kMacGateway) / header / l4)) << "another host's frame";
  EXPECT_TRUE(is_left(from_client(l4) / payload(1440))) << "too large for the tunnel";
  for (const Bytes& piece : fragments(from_client(l4) / payload(64), 7, 24))
    EXPECT_TRUE(is_left(piece)) << "a fragment";
  if (cast().v4()) {
    Ip options = header;
    options.options = {1, 1, 1, 1};
    EXPECT_TRUE(is_left(link / options / l4)) << "IP options";
  } else {
    EXPECT_TRUE(is_left(link / header / Extension{60, {1, 4, 0, 0, 0, 0}} / l4)) << "extension";
  }
  EXPECT_TRUE(is_left(link / header / ping(1))) << "ICMP";
  Bytes vlan = from_client(l4).bytes();
  vlan.insert(vlan.begin() + 12, {0x81, 0x00, 0x00, 0x05});
  EXPECT_TRUE(is_left(vlan)) << "VLAN";
  const Bytes whole = from_client(l4).bytes();
  for (std::size_t size = 14; size < whole.size(); ++size)
    EXPECT_TRUE(is_left(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)))) << size;
}

TEST_P(Xdp, OnlyTheBackendsNodeAnswers) {
  node_port({{cast().pod_r, 8080}});
  const std::uint16_t port = open(40000);
  const Packet inner =
      eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().node) / tcp(8080, port, ACK);
  ASSERT_EQ(run_twice(out_of_tunnel(inner)).verdict, XDP_TX);
  EXPECT_TRUE(is_left(wrapped(inner, cast().router, cast().node, kMacUplink, kMacNodeR, {})))
      << "from another address";
  EXPECT_TRUE(is_left(wrapped(inner, cast().node_r, cast().router, kMacUplink, kMacNodeR, {})))
      << "to another node";
  EXPECT_TRUE(is_left(wrapped(inner, cast().node_r, cast().node, kMacUplink, kMacNodeR, {}, 99)))
      << "of another network";
  EXPECT_TRUE(is_left(inner)) << "without the tunnel";
}

TEST_P(Xdp, WhatEndsOnThisNodeIsLeftToTc) {
  node_port({{cast().pod_a, 8080}});
  bed().from_nic(from_client(tcp(40000, kNodePort, SYN)));
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(8080, 40000, SYN | ACK));
  EXPECT_TRUE(is_left(from_client(tcp(40000, kNodePort, ACK))));
}

TEST_P(Xdp, ACaptureSeesAllPackets) {
  node_port({{cast().pod_r, 8080}});
  open(40000);
  const Bytes frame = from_client(tcp(40000, kNodePort, ACK)).bytes();
  ASSERT_EQ(run_twice(frame).verdict, XDP_TX);
  weir_capture_filter filter{};
  filter.enabled = 1;
  filter.snap = 64;
  {
    const auto reader = bed().plane().start_capture(filter, [](auto) {});
    ASSERT_TRUE(reader);
    EXPECT_TRUE(is_left(frame));
  }
  bed().plane().stop_capture();
  EXPECT_EQ(run_twice(frame).verdict, XDP_TX);
}

// Bytes changed at random: what XDP sends is what TC would have sent; what it leaves is untouched.
TEST_P(Xdp, NeverDiffersFromTc) {
  node_port({{cast().pod_r, 8080}});
  node_port({{cast().pod_r, 53}}, 17);
  const std::uint16_t port = open(40000);
  const auto request = Wire::parse(bed().from_nic(from_client(udp(5000, kNodePort))).frame);
  answer(udp(53, request->src_port.value()));
  const std::vector<Bytes> requests = {
      (from_client(tcp(40000, kNodePort, ACK)) / payload(20)).bytes(),
      (from_client(udp(5000, kNodePort)) / payload(11)).bytes()};
  const std::vector<Bytes> answers = {
      (from_backend(tcp(8080, port, ACK | PSH)) / payload(5)).bytes(),
      (from_backend(udp(53, *request->src_port)) / payload(64)).bytes()};
  const std::size_t outer = cast().v4() ? 50 : 70;
  std::mt19937 random(std::random_device{}());
  const auto mutate = [&](Bytes frame) {
    for (std::uint32_t changes = random() % 3; changes > 0; --changes)
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    return frame;
  };
  int sent = 0;
  for (int i = 0; i < 20'000; ++i) {
    const bool there = random() % 2 == 0;
    const Bytes inner = mutate((there ? requests : answers)[random() % 2]);
    const Bytes frame = there ? inner : wrap(inner, cast().node_r, cast().node, {});
    const XdpOutcome got = run(frame);
    if (got.verdict == XDP_PASS) {
      ASSERT_TRUE(same_packet(got.frame, frame));
      continue;
    }
    ASSERT_EQ(got.verdict, XDP_TX) << describe(frame);
    ++sent;
    const Bytes tc =
        there ? bed().from_nic(inner).frame : bed().from_tunnel(cast().node_r, inner).frame;
    // TC leaves the link addresses of routed packets to the kernel.
    const std::size_t from = there ? 0 : 12;
    const Bytes plain(got.frame.begin() + static_cast<long>(there ? outer : from), got.frame.end());
    ASSERT_TRUE(same_packet(plain, Bytes(tc.begin() + static_cast<long>(from), tc.end())))
        << describe(frame);
  }
  EXPECT_GT(sent, 5'000);
}

WEIR_BOTH_FAMILIES(Xdp);

}  // namespace
}  // namespace weir
