// SCTP through Services: another port on the backend, and a checksum that is right. This kernel has
// no SCTP sockets, so the packets are made by hand.
#include "harness/services.h"

namespace weir {
namespace {

class ServiceSctp : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    services_ = std::make_unique<TestServices>(bed());
    services_->add(
        {.vip = cast().vip, .port = 80, .proto = 132, .backends = {{cast().pod_b, 7777}}});
  }

  std::unique_ptr<TestServices> services_;
};

TEST_P(ServiceSctp, PortsAndChecksumAreTranslatedBothWays) {
  for (const std::size_t size : {0, 1, 2, 3, 20, 100, 999, 1400}) {
    const Outcome request = bed().from_pod(
        kLinkA, eth() / ip(cast().pod_a, cast().vip) / sctp(40000, 80) / payload(size));
    EXPECT_EQ(request.verdict, kRedirect);
    EXPECT_TRUE(
        same_packet(request.frame, eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) /
                                       sctp(40000, 7777) / payload(size)))
        << size;
    const Outcome reply = bed().from_pod(
        kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / sctp(7777, 40000) / payload(size));
    EXPECT_TRUE(
        same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) /
                                     sctp(80, 40000) / payload(size)))
        << size;
  }
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(ServiceSctp, PaddingBehindThePacketDoesNotCount) {
  const auto padded = [](const Packet& packet) {
    Bytes frame = packet.bytes();
    frame.resize(frame.size() + 9, 0x55);
    return frame;
  };
  const Outcome out = bed().from_pod(
      kLinkA, padded(eth() / ip(cast().pod_a, cast().vip) / sctp(40000, 80) / payload(4)));
  EXPECT_TRUE(
      same_packet(out.frame, padded(eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) /
                                    sctp(40000, 7777) / payload(4))));
}

TEST_P(ServiceSctp, ErrorsAreTranslatedBothWays) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / sctp(40000, 80) / payload(20));
  const Packet seen = eth() / ip(cast().pod_a, cast().pod_b) / sctp(40000, 7777) / payload(20);
  auto wire = Wire::parse(bed()
                              .from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) /
                                                    port_unreachable(GetParam()) / quote(seen))
                              .frame);
  ASSERT_TRUE(wire);
  EXPECT_EQ(wire->ip_src, cast().vip);
  EXPECT_TRUE(wire->l4_checksum_ok);
  auto inner = wire->parse_quote();
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->ip_dst, cast().vip);

  bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / sctp(7777, 40000) / payload(20));
  const Packet got = eth() / ip(cast().vip, cast().pod_a) / sctp(80, 40000) / payload(20);
  wire = Wire::parse(bed()
                         .from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) /
                                               port_unreachable(GetParam()) / quote(got))
                         .frame);
  ASSERT_TRUE(wire);
  EXPECT_EQ(wire->ip_dst, cast().pod_b);
  EXPECT_TRUE(wire->l4_checksum_ok);
  inner = wire->parse_quote();
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->ip_src, cast().pod_b);
}

TEST_P(ServiceSctp, ItLeavesTheClusterWithTheNodesAddress) {
  const Outcome out = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().outside) / sctp(62000, 80) / payload(20));
  EXPECT_TRUE(same_packet(
      out.frame, eth() / ip(cast().node, cast().outside).ttl(63) / sctp(62000, 80) / payload(20)));
}

TEST_P(ServiceSctp, AFragmentCannotBeTranslated) {
  const auto pieces =
      fragments(eth() / ip(cast().pod_a, cast().vip) / sctp(40000, 80) / payload(200), 5, 64);
  EXPECT_EQ(bed().from_pod(kLinkA, pieces[0]).reason(), WEIR_DROP_NOT_TRANSLATABLE);
}

WEIR_BOTH_FAMILIES(ServiceSctp);

}  // namespace
}  // namespace weir
