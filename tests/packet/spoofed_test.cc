// A source address is believed only where it can come from.
#include "harness/bed.h"

namespace weir {
namespace {

class Spoofed : public PacketTest {
 protected:
  Packet from(const Address& source) {
    return eth() / ip(source, cast().pod_b) / tcp(40000, 80, SYN);
  }
};

TEST_P(Spoofed, APodSpeaksOnlyAsItself) {
  for (const Address& source : {cast().pod_b, cast().pod_gone, cast().pod_r, cast().node,
                                cast().node_r, cast().outside, cast().multicast}) {
    EXPECT_EQ(bed().from_pod(kLinkA, from(source)).reason(), WEIR_DROP_SPOOFED)
        << source.to_string();
  }
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Spoofed, OnlyByItsOwnLink) {
  EXPECT_EQ(bed().from_pod(kLinkSpare, from(cast().pod_a)).reason(), WEIR_DROP_SPOOFED);
}

TEST_P(Spoofed, AnotherPodCannotJoinAConnection) {
  bed().from_pod(kLinkA, from(cast().pod_a));
  EXPECT_EQ(bed().from_pod(kLinkB, from(cast().pod_a)).reason(), WEIR_DROP_SPOOFED);
  bed().plane().routes_changed();
  EXPECT_EQ(bed().from_pod(kLinkB, from(cast().pod_a)).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().connection(cast().pod_a, 40000, cast().pod_b, 80, 6)->packets[0], 1u);
}

TEST_P(Spoofed, APodsAddressNeverComesFromTheNet) {
  bed().from_pod(kLinkA, from(cast().pod_a));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(bed().from_nic(from(cast().pod_a)).reason(), WEIR_DROP_SPOOFED);
    EXPECT_EQ(bed().from_nic(from(cast().pod_gone)).reason(), WEIR_DROP_SPOOFED);
    EXPECT_EQ(bed().from_nic(from(cast().pod_r)).reason(), WEIR_DROP_SPOOFED);
    EXPECT_EQ(bed().from_tunnel(cast().node_r, from(cast().pod_a)).reason(), WEIR_DROP_SPOOFED);
    bed().plane().routes_changed();
  }
}

TEST_P(Spoofed, ThisHostsAddressNeverComesFromTheNet) {
  for (const Address& to : {cast().pod_b, cast().node, cast().outside}) {
    const Packet forged = eth(kMacOther, kMacOther) / ip(cast().node, to) / udp(40000, 53);
    EXPECT_EQ(bed().from_nic(forged).reason(), WEIR_DROP_SPOOFED) << to.to_string();
    EXPECT_NE(bed().from_tunnel(cast().node_r, forged).verdict, kRedirect) << to.to_string();
  }
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Spoofed, TheStackDoesNotRelayThemEither) {
  const Packet to_node = eth() / ip(cast().pod_b, cast().node) / udp(1, 2);
  EXPECT_EQ(bed().from_nic(to_node).reason(), WEIR_DROP_SPOOFED);
}

TEST_P(Spoofed, TheOutsideReachesAPodByTheNic) {
  EXPECT_EQ(bed().from_nic(from(cast().outside)).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, from(cast().outside)).reason(), WEIR_DROP_SPOOFED);
}

TEST_P(Spoofed, EveryDropIsToldWithBothEnds) {
  const Outcome out = bed().from_pod(kLinkA, from(cast().pod_r));
  const weir_event* event = out.event(WEIR_EVENT_DROP);
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(from_abi(event->src), cast().pod_r);
  EXPECT_EQ(from_abi(event->dst), cast().pod_b);
  EXPECT_EQ(ntohs(event->src_port), 40000);
  EXPECT_EQ(ntohs(event->dst_port), 80);
  EXPECT_EQ(event->proto, 6);
  EXPECT_EQ(event->ifindex, kLinkA);
  EXPECT_EQ(event->length, (cast().v4() ? 20u : 40u) + 20u);
}

WEIR_BOTH_FAMILIES(Spoofed);

}  // namespace
}  // namespace weir
