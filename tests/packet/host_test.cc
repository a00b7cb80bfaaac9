// The host's own packets: to and from its pods, and out by its links.
#include "harness/bed.h"

namespace weir {
namespace {

class Host : public PacketTest {};

TEST_P(Host, APodSpeaksToItsNode) {
  const Packet request = eth() / ip(cast().pod_a, cast().node) / tcp(40000, 10250, SYN);
  const Outcome out = bed().from_pod(kLinkA, request);
  EXPECT_EQ(out.verdict, kNext);
  EXPECT_TRUE(same_packet(out.frame, request));
  EXPECT_EQ(out.events.at(0).out, WEIR_OUT_HOST);
  const Packet reply =
      eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) / tcp(10250, 40000, SYN | ACK);
  const Outcome in = bed().to_pod(kLinkA, reply);
  EXPECT_EQ(in.verdict, kNext);
  EXPECT_TRUE(same_packet(in.frame, reply));
  EXPECT_EQ(in.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(bed().connections(), 1u);
}

TEST_P(Host, TheNodeSpeaksToItsPod) {
  const Outcome probe = bed().to_pod(
      kLinkA, eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) / tcp(40000, 80, SYN));
  EXPECT_EQ(probe.verdict, kNext);
  EXPECT_EQ(probe.events.at(0).type, WEIR_EVENT_NEW);
  EXPECT_EQ(probe.events.at(0).hook, WEIR_HOOK_TO_POD);
  const Outcome answer =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node) / tcp(80, 40000, SYN | ACK));
  EXPECT_EQ(answer.verdict, kNext);
  EXPECT_EQ(answer.events.at(0).type, WEIR_EVENT_ESTABLISHED);
}

TEST_P(Host, NoHopIsLostOnTheWayToTheNode) {
  EXPECT_EQ(
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().node).ttl(1) / udp(1, 2)).verdict,
      kNext);
  EXPECT_TRUE(bed().connection(cast().pod_a, 1, cast().node, 2, 17));
}

TEST_P(Host, AnotherPodCannotAnswerForThePod) {
  bed().to_pod(kLinkA, eth() / ip(cast().node, cast().pod_a) / tcp(40000, 80, SYN));
  const Outcome out =
      bed().from_pod(kLinkB, eth() / ip(cast().pod_a, cast().node) / tcp(80, 40000, SYN | ACK));
  EXPECT_EQ(out.reason(), WEIR_DROP_SPOOFED);
}

TEST_P(Host, ALinkCarriesOnlyItsOwnPodsPackets) {
  EXPECT_EQ(bed().to_pod(kLinkB, eth() / ip(cast().node, cast().pod_a) / udp(1, 2)).reason(),
            WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().to_pod(kLinkA, eth() / ip(cast().node, cast().pod_gone) / udp(1, 2)).reason(),
            WEIR_DROP_POD_UNKNOWN);
}

TEST_P(Host, JudgedPacketsPassAfterOneCompare) {
  const Bytes frame = (eth() / ip(cast().pod_a, cast().outside) / udp(1, 2)).bytes();
  for (const weir_hook hook : {WEIR_HOOK_TO_NET, WEIR_HOOK_TO_POD}) {
    const Outcome out =
        bed().run({.hook = hook, .ifindex = kUplink, .mark = kMarkJudged | 0x10000001}, frame);
    EXPECT_EQ(out.verdict, kNext);
    EXPECT_EQ(out.mark, kMarkJudged | 0x10000001U);
    EXPECT_EQ(bed().metric(hook, WEIR_OUTCOME_IN).packets, 0u);
  }
}

TEST_P(Host, ForeignBitsOfTheMarkAreKept) {
  const Outcome out = bed().run({.ifindex = kLinkA, .mark = 0xf0000001},
                                eth() / ip(cast().pod_a, cast().pod_r) / udp(1, 2));
  EXPECT_EQ(out.mark, 0xf0000001 | kMarkJudged);
}

TEST_P(Host, ItsOwnPacketsLeaveAndCount) {
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, cast().outside) / tcp(40000, 443, SYN)).verdict,
            kNext);
  EXPECT_EQ(bed().metric(WEIR_HOOK_TO_NET, WEIR_OUTCOME_FORWARD).packets, 1u);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Host, ThroughTheTunnelItReachesOtherNodesPods) {
  const Outcome out = bed().to_tunnel(eth(kMacOther, kMacOther) / ip(cast().node, cast().pod_r) /
                                      tcp(40000, 80, SYN));
  EXPECT_EQ(out.verdict, kNext);
  EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
  EXPECT_TRUE(same_packet(
      out.frame, eth(kMacTunnel, kMacLink) / ip(cast().node, cast().pod_r) / tcp(40000, 80, SYN)));
}

TEST_P(Host, TheTunnelCarriesNothingElse) {
  const auto to = [&](const Address& dst) { return eth() / ip(cast().node, dst) / udp(1, 2); };
  EXPECT_EQ(bed().to_tunnel(to(cast().outside)).reason(), WEIR_DROP_NO_ROUTE);
  EXPECT_EQ(bed().to_tunnel(to(cast().pod_a)).reason(), WEIR_DROP_NO_ROUTE);
  EXPECT_EQ(bed().to_tunnel(to(cast().multicast)).reason(), WEIR_DROP_LINK_MULTICAST);
}

// A host socket whose source port lies in the range of translated ones.
TEST_P(Host, APortInTheRangeOfTranslatedOnesIsClaimed) {
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, cast().outside) / udp(61005, 53)).verdict, kNext);
  const weir_ct ct = bed().connection(cast().node, 61005, cast().outside, 53, 17).value();
  EXPECT_TRUE(ct.flags & WEIR_CT_HOST);
  const Outcome answer = bed().from_nic(eth() / ip(cast().outside, cast().node) / udp(53, 61005));
  EXPECT_EQ(answer.verdict, kNext);
  EXPECT_EQ(answer.reason(), std::nullopt);
  const Outcome pod =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(61005, 53));
  EXPECT_EQ(pod.verdict, kRedirect);
  EXPECT_NE(Wire::parse(pod.frame)->src_port, 61005);
}

TEST_P(Host, APortThatAPodsConnectionHoldsIsAClash) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(61005, 53));
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, cast().outside) / udp(61005, 53)).reason(),
            WEIR_DROP_PORT_CLASH);
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, cast().outside_2) / udp(61005, 53)).verdict,
            kNext);
}

TEST_P(Host, TheOutsideSpeaksToTheNode) {
  EXPECT_EQ(bed().from_nic(eth() / ip(cast().outside, cast().node) / tcp(5000, 22, SYN)).verdict,
            kNext);
  EXPECT_EQ(bed().connections(), 0u);
  EXPECT_EQ(bed().metric(WEIR_HOOK_FROM_NET, WEIR_OUTCOME_STACK).packets, 1u);
}

TEST_P(Host, APodsPacketThatTheStackRoutedDoesNotLeaveAsItIs) {
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().pod_a, cast().outside) / udp(1, 2)).reason(),
            WEIR_DROP_NOT_TRANSLATABLE);
}

// What from_pod leaves to the stack, say because it is too large, may come here; as a connection of
// the host's it would stand in the way of the pod's own.
TEST_P(Host, APodsPacketThatTheStackRoutedClaimsNothing) {
  for (const Address& dst : {cast().outside, cast().behind_narrow_link}) {
    const Packet packet = eth() / ip(cast().pod_a, dst) / udp(62000, 53);
    const auto reason = bed().to_nic(packet).reason();
    EXPECT_EQ(reason,
              dst == cast().outside ? std::optional(WEIR_DROP_NOT_TRANSLATABLE) : std::nullopt);
    EXPECT_EQ(bed().connections(), 0u);
    EXPECT_EQ(bed().from_pod(kLinkA, packet).verdict, kRedirect);
    bed().sweep({});
    bed().sweep({});
  }
}

WEIR_BOTH_FAMILIES(Host);

}  // namespace
}  // namespace weir
