// Services at a node's own addresses and at those of load balancers; and the node itself as client
// and as backend.
#include <set>

#include "abi/rendezvous.h"
#include "harness/services.h"

namespace weir {
namespace {

constexpr std::uint16_t kNodePort = 30080;
constexpr std::uint32_t kLoopback = 1;

class ServiceNode : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    services_ = std::make_unique<TestServices>(bed());
  }
  TestServices& services() { return *services_; }
  std::uint32_t node_port(std::vector<TestServices::Backend> backends, std::uint32_t flags = 0,
                          int proto = 6) {
    return services().add({.vip = TestServices::any(GetParam()),
                           .port = kNodePort,
                           .proto = proto,
                           .backends = std::move(backends),
                           .flags = WEIR_SERVICE_EXTERNAL | flags});
  }
  // Of external traffic policy Local.
  void local_node_port(std::vector<TestServices::Backend> local,
                       std::vector<TestServices::Backend> all, int proto = 6) {
    node_port(std::move(local), WEIR_SERVICE_LOCAL | WEIR_SERVICE_TWO_SCOPES, proto);
    services().add({.vip = TestServices::any(GetParam()),
                    .port = kNodePort,
                    .proto = proto,
                    .backends = std::move(all),
                    .flags = WEIR_SERVICE_EXTERNAL,
                    .scope = WEIR_SCOPE_CLUSTER});
  }
  std::uint32_t cluster_ip(std::vector<TestServices::Backend> backends) {
    return services().add({.vip = cast().vip, .port = 80, .backends = std::move(backends)});
  }
  Outcome knock(const auto& l4) {
    return bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / l4);
  }
  Outcome host(const Address& to, const auto& l4) {
    return bed().to_nic(eth(kMacOther, kMacLink) / ip(cast().node, to) / l4);
  }
  Outcome loopback(const Address& from, const Address& to, const auto& l4) {
    return bed().run({.hook = WEIR_HOOK_TO_NET, .ifindex = kLoopback},
                     eth(Mac{}, Mac{}) / ip(from, to) / l4);
  }
  std::uint16_t source_port(const Outcome& out) {
    const auto wire = Wire::parse(out.frame);
    return wire ? wire->src_port.value_or(0) : 0;
  }

  std::unique_ptr<TestServices> services_;
};

TEST_P(ServiceNode, FromOutsideToAPodOfThisNodeTheClientsAddressIsKept) {
  node_port({{cast().pod_a, 8080}});
  const Outcome request = knock(tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / tcp(40000, 8080, SYN)));
  const Outcome reply = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(8080, 40000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(same_packet(reply.frame, eth() / ip(cast().node, cast().outside).ttl(63) /
                                           tcp(kNodePort, 40000, SYN | ACK)));
}

TEST_P(ServiceNode, FromOutsideToAnotherNodeTheAnswersComeBackHere) {
  node_port({{cast().pod_r, 8080}});
  const Outcome request = knock(tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.events.at(0).out, WEIR_OUT_TUNNEL);
  const std::uint16_t port = source_port(request);
  EXPECT_GE(port, 61000);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) / tcp(port, 8080, SYN)));
  const Outcome reply = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r, cast().node) / tcp(8080, port, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(same_packet(reply.frame, eth() / ip(cast().node, cast().outside).ttl(63) /
                                           tcp(kNodePort, 40000, SYN | ACK)));
  services().publish();
  EXPECT_EQ(source_port(knock(tcp(40000, kNodePort, ACK))), port);
  EXPECT_EQ(
      bed()
          .from_tunnel(cast().node_r, eth() / ip(cast().pod_r, cast().node) / tcp(8080, port, ACK))
          .verdict,
      kRedirect);
}

TEST_P(ServiceNode, ALoadBalancersAddressIsServed) {
  services().add({.vip = cast().balancer,
                  .port = 443,
                  .backends = {{cast().pod_a, 8443}},
                  .flags = WEIR_SERVICE_EXTERNAL});
  const Outcome request = bed().from_nic(eth(kMacOther, kMacOther) /
                                         ip(cast().outside, cast().balancer) / tcp(1, 443, SYN));
  EXPECT_EQ(Wire::parse(request.frame)->ip_dst, cast().pod_a);
  const Outcome reply =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(8443, 1, SYN | ACK));
  EXPECT_EQ(Wire::parse(reply.frame)->ip_src, cast().balancer);
  const Outcome pods =
      bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().balancer) / tcp(2, 443, SYN));
  EXPECT_EQ(Wire::parse(pods.frame)->ip_dst, cast().pod_a);
  EXPECT_EQ(Wire::parse(pods.frame)->ip_src, cast().pod_b);
}

TEST_P(ServiceNode, APodReachesItsNodesPort) {
  node_port({{cast().pod_b, 8080}});
  const Outcome request =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node) / tcp(40000, kNodePort, SYN));
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / tcp(40000, 8080, SYN)));
}

TEST_P(ServiceNode, APodOfAnotherNodeReachesThisNodesPort) {
  node_port({{cast().pod_r2, 8080}});
  const Outcome request = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r, cast().node) / tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  const std::uint16_t port = source_port(request);
  EXPECT_EQ(Wire::parse(request.frame)->ip_src, cast().node);
  const Outcome reply = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r2, cast().node) / tcp(8080, port, SYN | ACK));
  EXPECT_TRUE(
      same_packet(reply.frame, eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) /
                                   tcp(kNodePort, 40000, SYN | ACK)));
}

TEST_P(ServiceNode, OtherPortsOfTheNodeAreTheStacks) {
  node_port({{cast().pod_a, 8080}});
  EXPECT_EQ(knock(tcp(40000, 22, SYN)).verdict, kNext);
  EXPECT_EQ(knock(udp(40000, kNodePort)).verdict, kNext);
}

TEST_P(ServiceNode, ABackendOnTheHostsNetworkIsReachedFromOutside) {
  node_port({{cast().node, 9100}});
  const Outcome request = knock(tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.verdict, kNext);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / tcp(40000, 9100, SYN)));
  const Outcome reply = host(cast().outside, tcp(9100, 40000, SYN | ACK));
  EXPECT_EQ(Wire::parse(reply.frame)->src_port, kNodePort);
  EXPECT_EQ(Wire::parse(reply.frame)->ip_src, cast().node);
}

TEST_P(ServiceNode, ABackendOnTheHostsNetworkIsReachedFromAPod) {
  cluster_ip({{cast().node, 9100}});
  const Outcome request =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kNext);
  EXPECT_TRUE(
      same_packet(request.frame, eth() / ip(cast().pod_a, cast().node) / tcp(40000, 9100, SYN)));
  const Outcome reply = bed().to_pod(
      kLinkA, eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) / tcp(9100, 40000, SYN | ACK));
  EXPECT_TRUE(same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a) /
                                           tcp(80, 40000, SYN | ACK)));
}

TEST_P(ServiceNode, TheHostReachesAPodOfItsOwn) {
  cluster_ip({{cast().pod_a, 8080}});
  const Outcome request = host(cast().vip, tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(request.mark & kMarkMask, kMarkJudged);
  const std::uint16_t port = source_port(request);
  EXPECT_GE(port, 61000) << "a port that no socket of the host has";
  EXPECT_TRUE(same_packet(
      request.frame, eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) / tcp(port, 8080, SYN)));
  const Outcome reply =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node) / tcp(8080, port, SYN | ACK));
  EXPECT_EQ(reply.verdict, kNext);
  EXPECT_TRUE(
      same_packet(reply.frame, eth() / ip(cast().vip, cast().node) / tcp(80, 40000, SYN | ACK)));
}

// A socket of the host that speaks to the backend directly makes no entry; its answers stay its
// own.
TEST_P(ServiceNode, TheHostsDirectConnectionsAreLeftAlone) {
  cluster_ip({{cast().pod_r, 8080}});
  host(cast().vip, udp(40000, 80));
  host(cast().vip, tcp(40000, 80, SYN));
  const Packet answer = eth() / ip(cast().pod_r, cast().node) / tcp(8080, 40000, SYN | ACK);
  const Outcome direct = bed().from_tunnel(cast().node_r, answer);
  EXPECT_EQ(direct.verdict, kNext);
  EXPECT_TRUE(same_packet(direct.frame, answer));
}

TEST_P(ServiceNode, TheHostReachesAPodOfAnotherNode) {
  cluster_ip({{cast().pod_r, 8080}});
  const Outcome request = host(cast().vip, tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(request.frame)->ip_dst, cast().pod_r);
  EXPECT_EQ(Wire::parse(request.frame)->dst, kMacTunnel);
  const Outcome reply =
      bed().from_tunnel(cast().node_r, eth() / ip(cast().pod_r, cast().node) /
                                           tcp(8080, source_port(request), SYN | ACK));
  EXPECT_EQ(reply.verdict, kNext);
  EXPECT_EQ(Wire::parse(reply.frame)->ip_src, cast().vip);
  EXPECT_EQ(Wire::parse(reply.frame)->src_port, 80);
}

// The other node's stack answers by its own routes: no tunnel between two nodes' addresses.
TEST_P(ServiceNode, TheHostReachesTheHostsNetworkOfAnotherNode) {
  cluster_ip({{cast().node_r, 9100}});
  const Outcome request = host(cast().vip, tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(request.events.at(0).out, WEIR_OUT_DIRECT);
  EXPECT_EQ(Wire::parse(request.frame)->ip_dst, cast().node_r);
  const Outcome reply = bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().node_r, cast().node) /
                                       tcp(9100, source_port(request), SYN | ACK));
  EXPECT_EQ(reply.verdict, kNext);
  EXPECT_EQ(Wire::parse(reply.frame)->ip_src, cast().vip);
}

TEST_P(ServiceNode, TheHostIsToldOfPortsAndAddressesThatAreNoService) {
  cluster_ip({{cast().pod_a, 8080}});
  services().add({.vip = cast().vip, .port = 0, .proto = 0, .flags = WEIR_SERVICE_OTHER_PORTS});
  EXPECT_EQ(host(cast().vip, tcp(40000, 81, SYN)).reason(), WEIR_DROP_SERVICE_NO_PORT);
  EXPECT_EQ(host(cast().vip, udp(40000, 80)).reason(), WEIR_DROP_SERVICE_NO_PORT);
  EXPECT_EQ(host(cast().vip_unused, tcp(40000, 80, SYN)).reason(), WEIR_DROP_SERVICE_UNKNOWN);
}

// Its port is one of translation's, which host sockets claim: not for what leads nowhere.
TEST_P(ServiceNode, WhatTheHostSendsNowhereMidStreamClaimsNoPort) {
  cluster_ip({{cast().pod_a, 8080}});
  for (const int flags : {ACK, SYN})
    EXPECT_EQ(host(cast().vip_unused, tcp(62000, 80, flags)).reason(), WEIR_DROP_SERVICE_UNKNOWN);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(ServiceNode, TheHostReachesItsOwnNodePort) {
  node_port({{cast().pod_a, 8080}});
  const Outcome request = loopback(cast().node, cast().node, tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(request.frame, eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) /
                                             tcp(source_port(request), 8080, SYN)));
  const Outcome reply = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().node) / tcp(8080, source_port(request), SYN | ACK));
  EXPECT_EQ(reply.verdict, kNext);
  EXPECT_TRUE(same_packet(reply.frame,
                          eth() / ip(cast().node, cast().node) / tcp(kNodePort, 40000, SYN | ACK)));
}

TEST_P(ServiceNode, UdpMovesToTheServiceThatItsAddressGets) {
  const TestServices::Row row = {.vip = TestServices::any(GetParam()),
                                 .port = kNodePort,
                                 .proto = 17,
                                 .backends = {{cast().pod_b, 8080}},
                                 .flags = WEIR_SERVICE_EXTERNAL};
  for (const bool from_pod : {true, false}) {
    const auto request = [&] {
      if (!from_pod) return loopback(cast().node, cast().node, udp(40001, kNodePort));
      return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node) / udp(40000, kNodePort));
    };
    for (int i = 0; i < 2; ++i) {  // once it has been a Service's, an entry may be left behind
      EXPECT_EQ(Wire::parse(request().frame)->ip_dst, cast().node);
      services().add(row);
      const Outcome moved = request();
      EXPECT_EQ(moved.verdict, kRedirect);
      EXPECT_EQ(Wire::parse(moved.frame)->ip_dst, cast().pod_b);
      services().remove(row);
    }
  }
}

TEST_P(ServiceNode, UdpToOutsideMovesToTheServiceThatItsAddressGets) {
  const auto request = [this] {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(40000, 53));
  };
  EXPECT_EQ(Wire::parse(request().frame)->ip_dst, cast().outside);
  services().add({.vip = cast().outside,
                  .port = 53,
                  .proto = 17,
                  .backends = {{cast().pod_b, 8080}},
                  .flags = WEIR_SERVICE_EXTERNAL});
  const Outcome moved = request();
  EXPECT_EQ(Wire::parse(moved.frame)->ip_dst, cast().pod_b);
  EXPECT_NE(moved.event(WEIR_EVENT_ENDED), nullptr);
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(ServiceNode, TcpStaysWhereItIsWhenItsAddressBecomesAServices) {
  const auto request = [this](int flags) {
    return bed().from_pod(kLinkA,
                          eth() / ip(cast().pod_a, cast().node) / tcp(40000, kNodePort, flags));
  };
  request(SYN);
  node_port({{cast().pod_b, 8080}});
  EXPECT_EQ(Wire::parse(request(ACK).frame)->ip_dst, cast().node);
}

TEST_P(ServiceNode, TheHostReachesItselfThroughAService) {
  node_port({{cast().node, 9100}});
  const Outcome request = loopback(cast().node, cast().node, tcp(40000, kNodePort, SYN));
  EXPECT_EQ(request.verdict, kNext);
  EXPECT_EQ(Wire::parse(request.frame)->dst_port, 9100);
  const Outcome reply =
      loopback(cast().node, cast().node, tcp(9100, source_port(request), SYN | ACK));
  EXPECT_EQ(reply.verdict, kNext);
  EXPECT_EQ(Wire::parse(reply.frame)->src_port, kNodePort);
}

TEST_P(ServiceNode, LoopbackAddressesAreLeftAlone) {
  node_port({{cast().pod_a, 8080}});
  const Address self = cast().v4() ? addr("127.0.0.1") : addr("::1");
  const Outcome out = loopback(self, self, tcp(40000, kNodePort, SYN));
  EXPECT_EQ(out.verdict, kNext);
  EXPECT_EQ(Wire::parse(out.frame)->dst_port, kNodePort);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(ServiceNode, TheHostsOtherPacketsMakeNoEntry) {
  node_port({{cast().pod_a, 8080}});
  EXPECT_EQ(host(cast().outside, tcp(40000, 443, SYN)).verdict, kNext);
  EXPECT_EQ(loopback(cast().node, cast().node, tcp(40000, 22, SYN)).verdict, kNext);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(ServiceNode, ClientsOfThisNodeHaveARowOfTheirOwn) {
  local_node_port({{cast().pod_a, 1}}, {{cast().pod_r, 2}});
  EXPECT_EQ(Wire::parse(knock(tcp(1, kNodePort, SYN)).frame)->dst_port, 1);
  const Outcome pods =
      bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().node) / tcp(1, kNodePort, SYN));
  EXPECT_EQ(Wire::parse(pods.frame)->dst_port, 2);
  EXPECT_EQ(Wire::parse(loopback(cast().node, cast().node, tcp(1, kNodePort, SYN)).frame)->dst_port,
            2);
}

TEST_P(ServiceNode, APodOfAnotherNodeIsServedAsFromOutside) {
  local_node_port({{cast().pod_a, 8080}}, {{cast().pod_r2, 8080}});
  const Outcome request = bed().from_tunnel(
      cast().node_r, eth() / ip(cast().pod_r, cast().node) / tcp(40000, kNodePort, SYN));
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacA, kMacLink) / ip(cast().pod_r, cast().pod_a).ttl(63) / tcp(40000, 8080, SYN)));
  const Outcome reply =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / tcp(8080, 40000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(
      same_packet(reply.frame, eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r).ttl(63) /
                                   tcp(kNodePort, 40000, SYN | ACK)));
}

TEST_P(ServiceNode, AnotherNodeIsServedAsFromOutside) {
  local_node_port({{cast().pod_a, 8080}}, {{cast().pod_r, 8080}});
  const Outcome request = bed().from_nic(
      eth(kMacOther, kMacOther) / ip(cast().node_r, cast().node) / tcp(40000, kNodePort, SYN));
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacA, kMacLink) / ip(cast().node_r, cast().pod_a).ttl(63) / tcp(40000, 8080, SYN)));
  const Outcome reply =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node_r) / tcp(8080, 40000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(reply.frame)->ip_src, cast().node);
  EXPECT_EQ(Wire::parse(reply.frame)->src_port, kNodePort);
  EXPECT_EQ(Wire::parse(reply.frame)->ip_dst, cast().node_r);
}

TEST_P(ServiceNode, WithoutLocalBackendsClientsOfOtherNodesAreDropped) {
  for (const int proto : {6, 17}) local_node_port({}, {{cast().pod_r2, 8080}}, proto);
  const auto expect_dropped = [this](const auto& l4) {
    for (const Outcome& out :
         {bed().from_tunnel(cast().node_r, eth() / ip(cast().pod_r, cast().node) / l4),
          bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().node_r, cast().node) / l4)}) {
      EXPECT_EQ(out.reason(), WEIR_DROP_SERVICE_NO_LOCAL);
      EXPECT_EQ(out.verdict, kDropped);
    }
  };
  expect_dropped(tcp(40000, kNodePort, SYN));
  expect_dropped(udp(40000, kNodePort));
  EXPECT_EQ(bed().connections(), 0u);
}

// The Service was of traffic policy Cluster.
TEST_P(ServiceNode, UdpOfOtherNodesMovesHereWhenThePolicyBecomesLocal) {
  const auto request = [this] {
    return bed().from_tunnel(cast().node_r,
                             eth() / ip(cast().pod_r, cast().node) / udp(40000, kNodePort));
  };
  node_port({{cast().pod_r2, 8080}}, 0, 17);
  EXPECT_EQ(Wire::parse(request().frame)->ip_dst, cast().pod_r2);
  local_node_port({{cast().pod_a, 8080}}, {{cast().pod_r2, 8080}}, 17);
  services().publish();
  EXPECT_EQ(Wire::parse(request().frame)->ip_dst, cast().pod_a);
  EXPECT_EQ(Wire::parse(request().frame)->ip_src, cast().pod_r);
}

// The choice depends on the client and the backends only; without one, the others keep theirs.
TEST_P(ServiceNode, ClientsOutsideGetTheSameBackendOnEveryNode) {
  constexpr int kClients = 60;
  std::vector<TestServices::Backend> backends;
  for (std::uint16_t port = 1; port <= 10; ++port) backends.push_back({cast().pod_a, port});
  const auto choices = [&] {
    node_port(backends, WEIR_SERVICE_RING);
    std::vector<int> chosen;
    for (std::uint16_t i = 0; i < kClients; ++i) {
      const Outcome out = knock(tcp(static_cast<std::uint16_t>(30000 + i), kNodePort, SYN));
      chosen.push_back(Wire::parse(out.frame)->dst_port.value_or(0));
    }
    return chosen;
  };
  const auto here = choices();
  EXPECT_GE((std::set<int>(here.begin(), here.end())).size(), 8u);
  SetUp();  // another node, whose tables hold other things as well
  cluster_ip({{cast().pod_b, 7}, {cast().pod_r, 7}});
  EXPECT_EQ(choices(), here);
  SetUp();
  backends.pop_back();
  const auto without = choices();
  for (int i = 0; i < kClients; ++i) {
    if (here[i] == 10)
      EXPECT_NE(without[i], 10);
    else
      EXPECT_EQ(without[i], here[i]);
  }
}

TEST_P(ServiceNode, ClientsOutsideGoByTheRingOfALargeSet) {
  std::vector<TestServices::Backend> backends;
  for (std::uint16_t port = 1; port <= WEIR_RENDEZVOUS_MAX + 1; ++port)
    backends.push_back({cast().pod_a, port});
  const auto id = node_port(backends, WEIR_SERVICE_RING);
  services().set_ring(id, 1);
  for (std::uint16_t port = 30000; port < 30020; ++port)
    EXPECT_EQ(Wire::parse(knock(tcp(port, kNodePort, SYN)).frame)->dst_port, 2);
}

// Closed connections keep their ports while others are free, and give them up to who finds none.
TEST_P(ServiceNode, AClosedConnectionsPortServesWhenNoneIsFree) {
  start_with_ports(61000, 61003);
  services_ = std::make_unique<TestServices>(bed());
  node_port({{cast().pod_r, 8080}});
  for (std::uint16_t port = 20000; port < 20004; ++port)
    EXPECT_EQ(knock(tcp(port, kNodePort, SYN)).verdict, kRedirect) << port;
  EXPECT_EQ(knock(tcp(20004, kNodePort, SYN)).reason(), WEIR_DROP_NAT_EXHAUSTED);
  knock(tcp(20002, kNodePort, RST));
  const Outcome taken = knock(tcp(20004, kNodePort, SYN));
  EXPECT_EQ(taken.verdict, kRedirect);
  const weir_event* ended = taken.event(WEIR_EVENT_ENDED);
  ASSERT_NE(ended, nullptr);
  EXPECT_EQ(ntohs(ended->src_port), 20002);
  EXPECT_EQ(bed().connections(), 8u);
  EXPECT_EQ(knock(tcp(20005, kNodePort, SYN)).reason(), WEIR_DROP_NAT_EXHAUSTED);
}

TEST_P(ServiceNode, PortsOfTranslationAreFoundAt95PercentUse) {
  start_with_ports(61000, 61199);
  services_ = std::make_unique<TestServices>(bed());
  node_port({{cast().pod_r, 8080}}, 0, 17);
  for (std::uint16_t port = 20000; port < 20190; ++port) {
    EXPECT_EQ(knock(udp(port, kNodePort)).verdict, kRedirect) << port;
  }
  EXPECT_EQ(bed().connections(), 2u * 190);
}

WEIR_BOTH_FAMILIES(ServiceNode);

}  // namespace
}  // namespace weir
