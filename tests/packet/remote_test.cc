// Pods of two nodes, by the tunnel and by native routing; this node's side of it.
#include "harness/bed.h"

namespace weir {
namespace {

class Tunnel : public PacketTest {
 protected:
  Outcome request() {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / tcp(40000, 80, SYN));
  }
  Packet reply() {
    return eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().pod_a) / tcp(80, 40000, SYN | ACK);
  }
};

TEST_P(Tunnel, RequestLeavesByTheTunnelAndTheReplyEntersThePod) {
  const Outcome out = request();
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
  EXPECT_TRUE(same_packet(
      out.frame,
      eth(kMacTunnel, kMacLink) / ip(cast().pod_a, cast().pod_r).ttl(63) / tcp(40000, 80, SYN)));
  const weir_ct ct = bed().connection(cast().pod_a, 40000, cast().pod_r, 80, 6).value();
  EXPECT_EQ(ct.path[0].out, WEIR_OUT_TUNNEL);
  EXPECT_EQ(ct.path[0].out_ifindex, kTunnel);
  EXPECT_EQ(from_abi(ct.path[0].next_hop), cast().node_r);
  EXPECT_EQ(ct.path[0].mtu, 1450);
  EXPECT_EQ(ct.path[1].in_ifindex, kTunnel);

  const Outcome in = bed().from_tunnel(cast().node_r, reply());
  EXPECT_EQ(in.verdict, kRedirect);
  EXPECT_TRUE(same_packet(in.frame, eth(kMacA, kMacLink) / ip(cast().pod_r, cast().pod_a).ttl(63) /
                                        tcp(80, 40000, SYN | ACK)));
  EXPECT_EQ(in.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(bed().connections(), 1u);
}

TEST_P(Tunnel, AQueuedPodGetsItsPacketsByItsLinksEgress) {
  bed().entries().endpoints[cast().pod_a].queued = 1;
  bed().apply();
  request();
  for (int i = 0; i < 2; ++i) {
    const Outcome in = bed().from_tunnel(cast().node_r, reply());
    EXPECT_EQ(in.verdict, kRedirect);
    EXPECT_EQ(in.mark & kMarkMask, kMarkJudged);
  }
}

TEST_P(Tunnel, ARemotePodOpensAConnection) {
  const Outcome in = bed().from_tunnel(
      cast().node_r, eth(kMacTunnel, kMacLink) / ip(cast().pod_r, cast().pod_a) / udp(5000, 53));
  EXPECT_EQ(in.verdict, kRedirect);
  EXPECT_EQ(in.events.at(0).type, WEIR_EVENT_NEW);
  EXPECT_EQ(in.events.at(0).hook, WEIR_HOOK_FROM_NET);
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / udp(53, 5000));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.events.at(0).type, WEIR_EVENT_ESTABLISHED);
}

TEST_P(Tunnel, ARemoteNodeItselfIsReachedThroughItToo) {
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node_r) / udp(5000, 53));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.events.at(0).out, WEIR_OUT_TUNNEL);
  EXPECT_EQ(out.events.at(0).nat_port, 0);
  EXPECT_EQ(bed()
                .from_tunnel(cast().node_r, eth() / ip(cast().node_r, cast().pod_a) / udp(53, 5000))
                .verdict,
            kRedirect);
}

TEST_P(Tunnel, InnerSourcesAreBelievedOnlyBehindTheirNode) {
  const auto syn = [&](const Address& source) {
    return eth() / ip(source, cast().pod_a) / tcp(80, 40000, SYN);
  };
  EXPECT_EQ(bed().from_tunnel(cast().outside, syn(cast().pod_r)).reason(), WEIR_DROP_TUNNEL_SOURCE);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, syn(cast().outside)).reason(),
            WEIR_DROP_TUNNEL_SOURCE);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, syn(cast().pod_b)).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, syn(cast().pod_gone)).reason(), WEIR_DROP_SPOOFED);
  request();
  EXPECT_EQ(bed().from_tunnel(cast().outside, reply()).reason(), WEIR_DROP_TUNNEL_SOURCE)
      << "an established connection has one node behind it";
}

TEST_P(Tunnel, WithoutMetadataThereIsNoNodeToBelieve) {
  const Outcome out = bed().run({.hook = WEIR_HOOK_FROM_NET, .ifindex = kTunnel}, reply());
  EXPECT_EQ(out.reason(), WEIR_DROP_TUNNEL_SOURCE);
}

TEST_P(Tunnel, APodOfAnotherNodeNeverComesByTheNic) {
  request();
  EXPECT_EQ(bed().from_nic(reply()).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().from_nic(eth() / ip(cast().pod_r2, cast().pod_a) / tcp(1, 2, SYN)).reason(),
            WEIR_DROP_SPOOFED);
}

TEST_P(Tunnel, UnknownPodsOfThisNodeAreNotRoutedOn) {
  const auto to = [&](const Address& dst) { return eth() / ip(cast().pod_r, dst) / udp(1, 2); };
  EXPECT_EQ(bed().from_tunnel(cast().node_r, to(cast().pod_gone)).reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, to(cast().outside)).reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, to(cast().multicast)).reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, to(cast().node)).verdict, kNext);
}

TEST_P(Tunnel, OuterPacketsAreTheStacks) {
  const Outcome out =
      bed().from_nic(eth() / ip(cast().node_r, cast().node) / udp(50000, 8472) / payload(80));
  EXPECT_EQ(out.verdict, kNext);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Tunnel, PodsMayNotSpeakToATunnelPort) {
  for (const Address& node : {cast().node, cast().node_r}) {
    const Outcome out =
        bed().from_pod(kLinkA, eth() / ip(cast().pod_a, node) / udp(5000, 8472) / payload(80));
    EXPECT_EQ(out.reason(), WEIR_DROP_TUNNEL_FORBIDDEN);
  }
}

TEST_P(Tunnel, ANewTunnelDeviceIsUsedAtOnce) {
  request();
  weir_device device{};
  device.mtu = 1400;
  ASSERT_TRUE(bed().plane().set_devices({{kLinkSpare, device}}, kLinkSpare));
  request();
  const weir_ct ct = bed().connection(cast().pod_a, 40000, cast().pod_r, 80, 6).value();
  EXPECT_EQ(ct.path[0].out_ifindex, kLinkSpare);
  EXPECT_EQ(ct.path[0].mtu, 1400);
  EXPECT_EQ(ct.path[1].in_ifindex, kLinkSpare);
}

class Native : public PacketTest {
 protected:
  void SetUp() override {
    BedOptions options = small();
    options.settings.tunnel = false;
    start(options);
  }
};

TEST_P(Native, PodsOfOtherNodesAreReachedByTheKernelsRoutes) {
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / tcp(40000, 80, SYN));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
  // redirect_neigh writes the link addresses behind the program
  EXPECT_TRUE(
      same_packet(out.frame, eth() / ip(cast().pod_a, cast().pod_r).ttl(63) / tcp(40000, 80, SYN)));
  const weir_ct ct = bed().connection(cast().pod_a, 40000, cast().pod_r, 80, 6).value();
  EXPECT_EQ(ct.path[0].out, WEIR_OUT_DIRECT);
  EXPECT_EQ(ct.path[0].out_ifindex, kUplink);
  EXPECT_EQ(from_abi(ct.path[0].next_hop), cast().gateway);
  EXPECT_EQ(ct.path[0].mtu, 1500);
  EXPECT_EQ(ct.path[1].in_ifindex, WEIR_CT_IN_NET);

  const Outcome in = bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().pod_r, cast().pod_a) /
                                    tcp(80, 40000, SYN | ACK));
  EXPECT_EQ(in.verdict, kRedirect);
  EXPECT_TRUE(same_packet(in.frame, eth(kMacA, kMacLink) / ip(cast().pod_r, cast().pod_a).ttl(63) /
                                        tcp(80, 40000, SYN | ACK)));
}

TEST_P(Native, ARemotePodOpensAConnection) {
  EXPECT_EQ(bed().from_nic(eth() / ip(cast().pod_r, cast().pod_a) / udp(5000, 53)).verdict,
            kRedirect);
  const Outcome out =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / udp(53, 5000));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.events.at(0).type, WEIR_EVENT_ESTABLISHED);
}

TEST_P(Native, TheTunnelPortIsAPortLikeAnyOther) {
  EXPECT_EQ(
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node_r) / udp(5000, 8472)).verdict,
      kRedirect);
}

TEST_P(Native, NoRouteIsSaid) {
  const Address nowhere = cast().v4() ? addr("192.0.2.9") : addr("2001:db8:dead::9");
  const Outcome out = bed().from_pod(kLinkA, eth() / ip(cast().pod_a, nowhere) / udp(5000, 53));
  EXPECT_EQ(out.reason(), WEIR_DROP_NO_ROUTE);
}

WEIR_BOTH_FAMILIES(Tunnel);
WEIR_BOTH_FAMILIES(Native);

}  // namespace
}  // namespace weir
