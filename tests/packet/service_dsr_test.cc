// Direct server return: the node that a client outside speaks to hands the packet over as it came,
// the backend's node translates and answers the client itself.
#include "harness/services.h"

namespace weir {
namespace {

class ServiceDsr : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    services_ = std::make_unique<TestServices>(bed());
  }
  TestServices::Row balancer(std::vector<TestServices::Backend> backends,
                             std::vector<TestServices::Backend> local, int proto = 6) {
    return {.vip = cast().balancer,
            .port = 80,
            .proto = proto,
            .backends = std::move(backends),
            .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING | WEIR_SERVICE_DSR,
            .local = std::move(local)};
  }
  Packet from_client(const auto& l4) const {
    return eth(kMacOther, kMacOther) / ip(cast().outside, cast().balancer) / l4;
  }

  std::unique_ptr<TestServices> services_;
};

TEST_P(ServiceDsr, TheClientsPacketTravelsUntranslated) {
  services_->add(balancer({{cast().pod_r, 8080}}, {}));
  for (const int flags : {SYN, ACK}) {
    const Outcome out = bed().from_nic(from_client(tcp(40000, 80, flags)));
    EXPECT_EQ(out.verdict, kRedirect);
    EXPECT_TRUE(same_packet(out.frame, eth(kMacTunnel, kMacLink) /
                                           ip(cast().outside, cast().balancer).ttl(63) /
                                           tcp(40000, 80, flags)));
    services_->publish();
  }
  EXPECT_EQ(bed().connections(), 1u);
}

TEST_P(ServiceDsr, TheBackendsNodeAnswersTheClientItself) {
  services_->add(balancer({{cast().pod_r, 8080}, {cast().pod_a, 8080}}, {{cast().pod_a, 8080}}));
  const Outcome request = bed().from_node(cast().node_r, from_client(tcp(40000, 80, SYN)));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / tcp(40000, 8080, SYN)));
  const Outcome reply = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(8080, 40000, SYN | ACK));
  EXPECT_EQ(reply.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  EXPECT_TRUE(same_packet(reply.frame, eth() / ip(cast().balancer, cast().outside).ttl(63) /
                                           tcp(80, 40000, SYN | ACK)));
  services_->publish();
  EXPECT_EQ(bed().from_node(cast().node_r, from_client(tcp(40000, 80, ACK))).verdict, kRedirect);
  EXPECT_EQ(bed().from_nic(from_client(tcp(40000, 80, ACK))).verdict, kRedirect)
      << "the client may come here directly";
}

TEST_P(ServiceDsr, ANodePortOfTheOtherNodeIsMeant) {
  services_->add({.vip = TestServices::any(GetParam()),
                  .port = 30080,
                  .backends = {{cast().pod_r, 8080}, {cast().pod_a, 8080}},
                  .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING | WEIR_SERVICE_DSR,
                  .local = {{cast().pod_a, 8080}}});
  bed().from_node(cast().node_r, eth() / ip(cast().outside, cast().node_r) / tcp(1, 30080, SYN));
  const Outcome reply =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(8080, 1, SYN | ACK));
  EXPECT_TRUE(same_packet(
      reply.frame, eth() / ip(cast().node_r, cast().outside).ttl(63) / tcp(30080, 1, SYN | ACK)));
}

// Agents do not all learn of a Service at once: the client's next try must find it.
TEST_P(ServiceDsr, BeforeThisNodeKnowsTheServiceNothingIsRemembered) {
  const TestServices::Row node_port = {
      .vip = TestServices::any(GetParam()),
      .port = 30080,
      .backends = {{cast().pod_a, 8080}},
      .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING | WEIR_SERVICE_DSR,
      .local = {{cast().pod_a, 8080}}};
  TestServices::Row without_backend = node_port;
  without_backend.local.clear();
  const auto knock = [this] {
    return bed().from_node(cast().node_r,
                           eth() / ip(cast().outside, cast().node_r) / tcp(1, 30080, SYN));
  };
  EXPECT_EQ(knock().reason(), WEIR_DROP_SERVICE_UNKNOWN);
  services_->add(without_backend);
  const Outcome early = knock();
  EXPECT_EQ(early.reason(), WEIR_DROP_SERVICE_NO_BACKEND);
  EXPECT_EQ(early.verdict, kDropped) << "no RST";
  EXPECT_EQ(bed().connections(), 0u);
  services_->remove(without_backend);
  services_->add(node_port);
  const Outcome request = knock();
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(request.frame)->ip_dst, cast().pod_a);

  EXPECT_EQ(bed().from_node(cast().node_r, from_client(tcp(1, 80, SYN))).reason(),
            WEIR_DROP_SERVICE_UNKNOWN)
      << "an address outside";
}

// Both nodes choose by the same scores: the one that is best of all is best of its node's.
TEST_P(ServiceDsr, BothNodesChooseTheSameBackend) {
  const std::vector<TestServices::Backend> all = {
      {cast().pod_r, 8080}, {cast().pod_a, 8080}, {cast().pod_b, 8080}};
  services_->add(balancer(all, {{cast().pod_a, 8080}, {cast().pod_b, 8080}}));
  int here = 0;
  for (std::uint16_t port = 30000; port < 30100; ++port) {
    const auto seen = Wire::parse(bed().from_nic(from_client(tcp(port, 80, SYN))).frame);
    if (seen->ip_dst == cast().balancer) continue;  // another node's
    ++here;
    const Address chosen = seen->ip_dst;
    const auto id = bed().connection(cast().outside, port, cast().balancer, 80, 6);
    ASSERT_TRUE(id);
    bed_.reset();
    start(small());
    services_ = std::make_unique<TestServices>(bed());
    services_->add(balancer(all, {{cast().pod_a, 8080}, {cast().pod_b, 8080}}));
    const auto handed =
        Wire::parse(bed().from_node(cast().node_r, from_client(tcp(port, 80, SYN))).frame);
    EXPECT_EQ(handed->ip_dst, chosen);
    if (here == 8) break;
  }
  EXPECT_EQ(here, 8);
}

TEST_P(ServiceDsr, OnlyNodesMayHandOver) {
  services_->add(balancer({{cast().pod_a, 8080}}, {{cast().pod_a, 8080}}));
  EXPECT_EQ(bed().from_node(cast().outside_2, from_client(tcp(1, 80, SYN))).reason(),
            WEIR_DROP_TUNNEL_SOURCE);
  EXPECT_EQ(
      bed()
          .from_node(cast().node_r, eth() / ip(cast().pod_r, cast().balancer) / tcp(1, 80, SYN))
          .reason(),
      WEIR_DROP_TUNNEL_SOURCE)
      << "a pod is no client outside";
}

TEST_P(ServiceDsr, UdpGoesToTheBackendThatIsThere) {
  const auto id = services_->add(balancer({{cast().pod_r, 53}}, {}, 17));
  bed().from_nic(from_client(udp(5000, 80)));
  services_->set_backends(id, {{cast().pod_a, 53}});
  const Outcome out = bed().from_nic(from_client(udp(5000, 80)));
  EXPECT_EQ(Wire::parse(out.frame)->ip_dst, cast().pod_a);
}

TEST_P(ServiceDsr, WhatDoesNotFitTheTunnelIsSaid) {
  services_->add(balancer({{cast().pod_r, 53}}, {}, 17));
  const Outcome out =
      bed().from_nic(eth(kMacLink, kMacOther) / ip(cast().outside, cast().balancer) /
                     udp(5000, 80) / payload(1440));
  EXPECT_EQ(out.verdict, kRedirect);
  const auto wire = Wire::parse(out.frame);
  ASSERT_TRUE(wire);
  EXPECT_EQ(wire->icmp_type, cast().v4() ? 3 : 2);
  EXPECT_EQ(wire->ip_dst, cast().outside);
}

WEIR_BOTH_FAMILIES(ServiceDsr);

}  // namespace
}  // namespace weir
