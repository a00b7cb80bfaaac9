// Hops and sizes: what a router would answer with ICMP goes to the stack, which does.
#include "harness/bed.h"

namespace weir {
namespace {

class Limits : public PacketTest {
 protected:
  std::size_t headers() const { return (cast().v4() ? 20U : 40U) + 8U; }
  // A datagram of `size` bytes from the IP header on.
  Packet sized(const Address& dst, std::size_t size) {
    return eth() / ip(cast().pod_a, dst) / udp(5000, 53) / payload(size - headers());
  }
};

TEST_P(Limits, TheLastHopIsTheStacks) {
  for (const Address& dst : {cast().pod_b, cast().pod_r, cast().outside}) {
    for (const std::uint8_t ttl : std::array<std::uint8_t, 2>{0, 1}) {
      const Packet packet = eth() / ip(cast().pod_a, dst).ttl(ttl) / udp(5000, 53);
      const Outcome out = bed().from_pod(kLinkA, packet);
      EXPECT_EQ(out.verdict, kNext);
      EXPECT_TRUE(same_packet(out.frame, packet));
    }
  }
  EXPECT_EQ(bed().connections(), 0u) << "a packet that does not arrive opens nothing";
  EXPECT_EQ(bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_STACK).packets, 6u);
}

TEST_P(Limits, AlsoInAnEstablishedConnection) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53));
  EXPECT_EQ(
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b).ttl(1) / udp(5000, 53)).verdict,
      kNext);
  EXPECT_EQ(bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17)->packets[0], 1u);
  EXPECT_EQ(
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b).ttl(2) / udp(5000, 53)).verdict,
      kRedirect);
}

// The stack would take a translated answer for its own and answer it with a reset.
TEST_P(Limits, ATranslatedAnswerWithoutHopsIsDropped) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53));
  EXPECT_EQ(
      bed().from_nic(eth() / ip(cast().outside, cast().node).ttl(1) / udp(53, 62000)).reason(),
      WEIR_DROP_TTL);
}

TEST_P(Limits, OverTheMtuOfTheWayOutIsTheStacks) {
  struct Case {
    Address dst;
    std::size_t mtu;
  };
  for (const Case& c : {Case{cast().pod_r, 1450}, Case{cast().outside, 1500}}) {
    EXPECT_EQ(bed().from_pod(kLinkA, sized(c.dst, c.mtu + 1)).verdict, kNext);
    EXPECT_EQ(bed().connections(), 0u);
    EXPECT_EQ(bed().from_pod(kLinkA, sized(c.dst, c.mtu)).verdict, kRedirect);
    EXPECT_EQ(bed().from_pod(kLinkA, sized(c.dst, c.mtu + 1)).verdict, kNext)
        << "of an established connection too";
    EXPECT_EQ(bed().from_pod(kLinkA, sized(c.dst, c.mtu)).verdict, kRedirect);
    bed().sweep({});
    bed().sweep({});
    EXPECT_EQ(bed().connections(), 0u);
  }
}

// Also when it is the first packet of its connection, and by far.
TEST_P(Limits, FarOverTheMtuToo) {
  for (const Address& dst : {cast().pod_r, cast().outside}) {
    for (const std::size_t size : {1600, 3000}) {
      const Outcome out = bed().from_pod(kLinkA, sized(dst, size));
      EXPECT_EQ(out.verdict, kNext) << size;
      EXPECT_EQ(out.reason(), std::nullopt) << size;
    }
  }
  EXPECT_EQ(bed().connections(), 0u);
}

// A link that is none of the agent's uplinks, or a route that says less than its link.
TEST_P(Limits, TheKernelsRoutesHaveAnMtuToo) {
  for (const Address& dst : {cast().behind_narrow_link, cast().behind_narrow_route}) {
    EXPECT_EQ(bed().from_pod(kLinkA, sized(dst, 1401)).verdict, kNext) << dst.to_string();
    EXPECT_EQ(bed().from_pod(kLinkA, sized(dst, 3000)).verdict, kNext) << dst.to_string();
    EXPECT_EQ(bed().connections(), 0u);
    EXPECT_EQ(bed().from_pod(kLinkA, sized(dst, 1400)).verdict, kRedirect) << dst.to_string();
    EXPECT_EQ(bed().from_pod(kLinkA, sized(dst, 1401)).verdict, kNext)
        << "of an established connection too";
    bed().sweep({});
    bed().sweep({});
  }
}

// A link on the way to a node is smaller than this node's; established connections learn it, too.
TEST_P(Limits, TheWayToANodeHasAnMtuOfItsOwn) {
  const auto set_mtu = [&](std::uint16_t mtu) {
    for (auto& [cidr, route] : bed().entries().routes) {
      if (route.kind == WEIR_ROUTE_PODS) route.mtu = mtu;
    }
    bed().apply();
  };
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().pod_r, 1450)).verdict, kRedirect);
  set_mtu(1350);
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().pod_r, 1351)).verdict, kNext);
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().pod_r, 1350)).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().outside, 1500)).verdict, kRedirect);
  set_mtu(0);
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().pod_r, 1450)).verdict, kRedirect);
}

TEST_P(Limits, BetweenPodsOfANodeThereIsNone) {
  EXPECT_EQ(bed().from_pod(kLinkA, sized(cast().pod_b, 3000)).verdict, kRedirect);
}

// A packet for segmentation is judged by its segments and counted as them.
TEST_P(Limits, GsoPacketsAreManyPackets) {
  const std::size_t headers = (cast().v4() ? 20U : 40U) + 20U;
  const auto send = [&](std::uint32_t segment) {
    return bed().run(
        {.ifindex = kLinkA, .gso_size = segment, .gso_segs = 2},
        eth() / ip(cast().pod_a, cast().pod_r) / tcp(40000, 80, ACK) / payload(2 * segment));
  };
  const auto fits = static_cast<std::uint32_t>(1450 - headers);
  EXPECT_EQ(send(fits).verdict, kRedirect);
  EXPECT_EQ(send(fits + 1).verdict, kNext);
  EXPECT_EQ(bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_IN).packets, 4u);
  EXPECT_EQ(bed().connection(cast().pod_a, 40000, cast().pod_r, 80, 6)->packets[0], 2u);
}

TEST_P(Limits, ASegmentsTcpOptionsCount) {
  const std::size_t headers = (cast().v4() ? 20U : 40U) + 32U;
  Tcp tcp{40000, 80, ACK, Bytes(12, 1)};
  const auto send = [&](std::uint32_t segment) {
    return bed().run({.ifindex = kLinkA, .gso_size = segment, .gso_segs = 2},
                     eth() / ip(cast().pod_a, cast().pod_r) / tcp / payload(2 * segment));
  };
  const auto fits = static_cast<std::uint32_t>(1450 - headers);
  EXPECT_EQ(send(fits).verdict, kRedirect);
  EXPECT_EQ(send(fits + 1).verdict, kNext);
}

WEIR_BOTH_FAMILIES(Limits);

}  // namespace
}  // namespace weir
