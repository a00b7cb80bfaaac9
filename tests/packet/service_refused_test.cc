// What a Service cannot serve: who waits gets an answer at once, and the drop says why.
#include "harness/services.h"

namespace weir {
namespace {

class ServiceRefused : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    services_ = std::make_unique<TestServices>(bed());
  }
  TestServices& services() { return *services_; }
  std::uint32_t cluster_ip(std::uint32_t flags = 0, int proto = 6,
                           std::vector<TestServices::Backend> backends = {}) {
    return services().add({.vip = cast().vip,
                           .port = 80,
                           .proto = proto,
                           .backends = std::move(backends),
                           .flags = flags});
  }
  std::uint32_t balancer(std::uint32_t flags, std::vector<TestServices::Backend> backends = {}) {
    return services().add({.vip = cast().balancer,
                           .port = 80,
                           .backends = std::move(backends),
                           .flags = WEIR_SERVICE_EXTERNAL | flags});
  }
  Outcome ask(const Address& vip, const auto& l4) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, vip) / l4);
  }
  Outcome knock(const Address& vip, const auto& l4) {
    return bed().from_nic(eth(kMacLink, kMacOther) / ip(cast().outside, vip) / l4);
  }
  // A RST from vip:80 to the client, by the link that it came in by.
  void expect_reset(const Outcome& out, const Address& vip, const Address& client, Mac to) {
    EXPECT_EQ(out.verdict, kRedirect);
    EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
    const auto wire = Wire::parse(out.frame);
    ASSERT_TRUE(wire) << describe(out.frame);
    EXPECT_EQ(wire->dst, to);
    EXPECT_EQ(wire->ip_src, vip);
    EXPECT_EQ(wire->ip_dst, client);
    EXPECT_TRUE(wire->tcp_flags & RST);
    EXPECT_TRUE(wire->ip_checksum_ok) << describe(out.frame);
    EXPECT_TRUE(wire->l4_checksum_ok) << describe(out.frame);
    EXPECT_EQ(out.frame.size(), 14u + (cast().v4() ? 20 : 40) + 20);
  }
  void expect_unreachable(const Outcome& out, const Address& vip, const Address& client,
                          std::uint16_t src_port) {
    EXPECT_EQ(out.verdict, kRedirect);
    const auto wire = Wire::parse(out.frame);
    ASSERT_TRUE(wire) << describe(out.frame);
    EXPECT_EQ(wire->ip_src, vip);
    EXPECT_EQ(wire->ip_dst, client);
    EXPECT_EQ(wire->icmp_type, cast().v4() ? 3 : 1);
    EXPECT_EQ(wire->icmp_code, cast().v4() ? 3 : 4);
    EXPECT_TRUE(wire->ip_checksum_ok) << describe(out.frame);
    EXPECT_TRUE(wire->l4_checksum_ok) << describe(out.frame);
    const auto inner = wire->parse_quote();
    ASSERT_TRUE(inner);
    EXPECT_EQ(inner->ip_src, client);
    EXPECT_EQ(inner->ip_dst, vip);
    EXPECT_EQ(inner->src_port, src_port);
  }
  std::uint32_t word_at(const Bytes& frame, std::size_t at) const {
    return static_cast<std::uint32_t>(frame.at(at)) << 24 | frame.at(at + 1) << 16 |
           frame.at(at + 2) << 8 | frame.at(at + 3);
  }

  std::unique_ptr<TestServices> services_;
};

TEST_P(ServiceRefused, WithoutBackendsTcpIsReset) {
  cluster_ip();
  const Outcome out = ask(cast().vip, tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_BACKEND);
  expect_reset(out, cast().vip, cast().pod_a, kMacA);
  const std::size_t l4 = 14 + (cast().v4() ? 20 : 40);
  EXPECT_EQ(word_at(out.frame, l4 + 8), 1001u) << "acknowledges the SYN, whose number is 1000";
  EXPECT_TRUE(Wire::parse(out.frame)->tcp_flags & ACK);
  EXPECT_EQ(bed().connections(), 0u);
  EXPECT_EQ(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_SERVICE_NO_BACKEND), 1u);
}

TEST_P(ServiceRefused, WithoutBackendsUdpIsUnreachable) {
  cluster_ip(0, 17);
  for (const std::size_t size : {0, 5, 1000}) {
    const Outcome out = bed().from_pod(
        kLinkA, eth() / ip(cast().pod_a, cast().vip) / udp(5000, 80) / payload(size));
    EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_BACKEND);
    expect_unreachable(out, cast().vip, cast().pod_a, 5000);
    EXPECT_EQ(Wire::parse(out.frame)->dst, kMacA);
  }
}

TEST_P(ServiceRefused, ClientsOutsideAreTold) {
  balancer(0);
  const Outcome out = knock(cast().balancer, tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_BACKEND);
  expect_reset(out, cast().balancer, cast().outside, kMacOther);
}

TEST_P(ServiceRefused, TheHostIsTold) {
  cluster_ip();
  const Outcome out =
      bed().to_nic(eth(kMacOther, kMacLink) / ip(cast().node, cast().vip) / tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_BACKEND);
  expect_reset(out, cast().vip, cast().node, kMacLink);
}

TEST_P(ServiceRefused, PodsOfOtherNodesAreToldThroughTheTunnel) {
  balancer(0);
  const Outcome out = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r, cast().balancer) / tcp(40000, 80, SYN));
  expect_reset(out, cast().balancer, cast().pod_r, kMacTunnel);
}

TEST_P(ServiceRefused, AnotherPortOfAClusterIpIsRefused) {
  cluster_ip(0, 6, {{cast().pod_b, 8080}});
  services().add({.vip = cast().vip, .port = 0, .proto = 0, .flags = WEIR_SERVICE_OTHER_PORTS});
  const Outcome tcp_out = ask(cast().vip, tcp(40000, 81, SYN));
  EXPECT_EQ(tcp_out.reason(), WEIR_DROP_SERVICE_NO_PORT);
  expect_reset(tcp_out, cast().vip, cast().pod_a, kMacA);
  const Outcome udp_out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / udp(5000, 80) / payload(30));
  EXPECT_EQ(udp_out.reason(), WEIR_DROP_SERVICE_NO_PORT);
  expect_unreachable(udp_out, cast().vip, cast().pod_a, 5000);
  const Outcome ping_out = ask(cast().vip, ping(7));
  EXPECT_EQ(ping_out.reason(), WEIR_DROP_SERVICE_NO_PORT);
  EXPECT_EQ(ping_out.verdict, kDropped);
}

TEST_P(ServiceRefused, AnUnusedAddressOfTheRangeIsDropped) {
  cluster_ip();
  const Outcome out = ask(cast().vip_unused, tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_UNKNOWN);
  EXPECT_EQ(out.verdict, kDropped);
}

TEST_P(ServiceRefused, WithoutLocalBackendsOutsideIsDropped) {
  balancer(WEIR_SERVICE_LOCAL);
  const Outcome out = knock(cast().balancer, tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_LOCAL);
  EXPECT_EQ(out.verdict, kDropped);
}

TEST_P(ServiceRefused, WithoutLocalBackendsInsideIsRefused) {
  cluster_ip(WEIR_SERVICE_LOCAL);
  const Outcome out = ask(cast().vip, tcp(40000, 80, SYN));
  EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_LOCAL);
  expect_reset(out, cast().vip, cast().pod_a, kMacA);
}

TEST_P(ServiceRefused, OnlyClientsOfTheSourceRangesAreServed) {
  const auto id = balancer(WEIR_SERVICE_SOURCE_RANGES, {{cast().pod_b, 8080}});
  services().add_range(id, Cidr(cast().outside, cast().v4() ? 32 : 128));
  services().add_range(id, Cidr(cast().pod_a, cast().v4() ? 28 : 124));
  EXPECT_EQ(knock(cast().balancer, tcp(1, 80, SYN)).verdict, kRedirect);
  EXPECT_EQ(ask(cast().balancer, tcp(1, 80, SYN)).verdict, kRedirect);
  const Outcome other =
      bed().from_nic(eth() / ip(cast().outside_2, cast().balancer) / tcp(1, 80, SYN));
  EXPECT_EQ(other.reason(), WEIR_DROP_SERVICE_SOURCE);
  EXPECT_EQ(other.verdict, kDropped);
  EXPECT_EQ(
      bed()
          .from_tunnel(cast().node_r, eth() / ip(cast().pod_r, cast().balancer) / tcp(1, 80, SYN))
          .reason(),
      WEIR_DROP_SERVICE_SOURCE)
      << "clients in the cluster, too";
}

TEST_P(ServiceRefused, TcpToABackendThatIsGoneIsReset) {
  cluster_ip(0, 6, {{cast().pod_b, 8080}});
  ask(cast().vip, tcp(40000, 80, SYN));
  bed().entries().endpoints.erase(cast().pod_b);
  bed().apply();
  const Outcome out = ask(cast().vip, tcp(40000, 80, ACK));
  EXPECT_EQ(out.reason(), WEIR_DROP_BACKEND_GONE);
  expect_reset(out, cast().vip, cast().pod_a, kMacA);
}

TEST_P(ServiceRefused, TcpToABackendWhoseNodeIsGoneIsReset) {
  cluster_ip(0, 6, {{cast().pod_r, 8080}});
  ask(cast().vip, tcp(40000, 80, SYN));
  ask(cast().vip, udp(40000, 80));
  ASSERT_TRUE(bed().plane().mark_gone({cast().pod_r}));
  const Outcome out = ask(cast().vip, tcp(40000, 80, ACK));
  EXPECT_EQ(out.reason(), WEIR_DROP_BACKEND_GONE);
  expect_reset(out, cast().vip, cast().pod_a, kMacA);
  EXPECT_EQ(ask(cast().vip, tcp(40001, 80, SYN)).verdict, kRedirect) << "to who has it now";
  bed().plane().routes_changed();
  EXPECT_EQ(ask(cast().vip, tcp(40001, 80, ACK)).verdict, kRedirect);
}

TEST_P(ServiceRefused, ClientsOutsideAreToldOfANodeThatIsGone) {
  for (const bool dsr : {false, true}) {
    const std::uint16_t port = dsr ? 30081 : 30080;
    services().add({.vip = TestServices::any(GetParam()),
                    .port = port,
                    .backends = {{cast().pod_r, 8080}},
                    .flags = WEIR_SERVICE_EXTERNAL | (dsr ? WEIR_SERVICE_DSR : 0U)});
    const auto knock = [&](int flags) {
      return bed().from_nic(eth(kMacLink, kMacOther) / ip(cast().outside, cast().node) /
                            tcp(40000, port, flags));
    };
    EXPECT_EQ(knock(SYN).events.at(0).out, WEIR_OUT_TUNNEL);
    ASSERT_TRUE(bed().plane().mark_gone({cast().pod_r, cast().node_r}));
    const Outcome out = knock(ACK);
    EXPECT_EQ(out.reason(), dsr ? WEIR_DROP_POD_UNKNOWN : WEIR_DROP_BACKEND_GONE);
    expect_reset(out, cast().node, cast().outside, kMacOther);
  }
}

TEST_P(ServiceRefused, ConnectionsThatTheOtherSideHasOpenedGoOn) {
  bed().from_tunnel(cast().node_r, eth() / ip(cast().pod_r, cast().pod_a) / tcp(40000, 8080, SYN));
  ASSERT_TRUE(bed().plane().mark_gone({cast().pod_r}));
  EXPECT_EQ(bed()
                .from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / tcp(8080, 40000, ACK))
                .verdict,
            kRedirect)
      << "it may have the address since, and its Pod object may be late";
}

// The socket hooks have translated: the packet path sees pod addresses only.
TEST_P(ServiceRefused, TcpToAPodThatIsGoneIsReset) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 8080, SYN));
  bed().entries().endpoints.erase(cast().pod_b);
  bed().apply();
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 8080, ACK));
  EXPECT_EQ(out.reason(), WEIR_DROP_POD_UNKNOWN);
  expect_reset(out, cast().pod_b, cast().pod_a, kMacA);
  const Outcome remote = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r, cast().pod_b) / tcp(40000, 8080, ACK));
  expect_reset(remote, cast().pod_b, cast().pod_r, kMacTunnel);
  EXPECT_EQ(bed()
                .from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40001, 8080, SYN))
                .verdict,
            kDropped)
      << "a pod that may yet come is not refused";
  EXPECT_EQ(bed()
                .from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 8080, RST))
                .verdict,
            kDropped)
      << "nobody answers a RST";
}

TEST_P(ServiceRefused, WhatIsTooBigForTheTunnelIsSaid) {
  services().add({.vip = TestServices::any(GetParam()),
                  .port = 30080,
                  .proto = 17,
                  .backends = {{cast().pod_r, 53}},
                  .flags = WEIR_SERVICE_EXTERNAL});
  const Outcome out = bed().from_nic(eth(kMacLink, kMacOther) / ip(cast().outside, cast().node) /
                                     udp(5000, 30080) / payload(1440));
  EXPECT_EQ(out.reason(), WEIR_DROP_TOO_BIG);
  EXPECT_EQ(out.verdict, kRedirect);
  const auto wire = Wire::parse(out.frame);
  ASSERT_TRUE(wire);
  EXPECT_EQ(wire->icmp_type, cast().v4() ? 3 : 2);
  EXPECT_EQ(word_at(out.frame, wire->l4_at + 4), 1450u);
  EXPECT_TRUE(wire->l4_checksum_ok);
}

WEIR_BOTH_FAMILIES(ServiceRefused);

}  // namespace
}  // namespace weir
