// BIG TCP: packets of more than 64 KiB. IPv4 has no length for them, IPv6 a hop-by-hop header that
// goes when the packet is cut up. A test run takes none so large; their headers are what counts.
#include "harness/services.h"

namespace weir {
namespace {

constexpr std::uint16_t kJumboType = 0xc2;
constexpr std::size_t kJumboBytes = 8;

class BigTcp : public PacketTest {
 protected:
  std::size_t jumbo_bytes() const { return cast().v4() ? 0 : kJumboBytes; }
  // Of a segment on the wire.
  std::size_t headers() const { return (cast().v4() ? 20U : 40U) + 20U; }

  Packet packet(const Packet& link, const Ip& ip, const Tcp& tcp, std::size_t size) const {
    const Packet begun = link / ip;
    if (cast().v4()) return begun / tcp / payload(size);
    return begun / Extension{0, {kJumboType, 4, 0, 3, 0, 0}} / tcp / payload(size);
  }
  Bytes big(const Packet& packet) const {
    Bytes frame = packet.bytes();
    constexpr std::size_t kIp = 14;
    if (!cast().v4()) {
      frame.at(kIp + 4) = frame.at(kIp + 5) = 0;
      return frame;
    }
    for (const std::size_t at : {2U, 3U, 10U, 11U}) frame.at(kIp + at) = 0;
    const auto sum = checksum(Bytes(frame.begin() + kIp, frame.begin() + kIp + 20));
    frame.at(kIp + 10) = static_cast<std::uint8_t>(sum >> 8);
    frame.at(kIp + 11) = static_cast<std::uint8_t>(sum & 0xff);
    return frame;
  }
  Outcome send(const Address& dst, std::uint16_t src_port, std::uint32_t segment) {
    const Tcp tcp{src_port, 80, ACK, {}};
    return bed().run({.ifindex = kLinkA, .gso_size = segment, .gso_segs = 2},
                     big(packet(eth(), ip(cast().pod_a, dst), tcp, 2U * segment)));
  }
  static constexpr std::uint32_t kSegment = 1000;
};

TEST_P(BigTcp, IsForwardedAndCountedAsItsSegments) {
  const Outcome out = send(cast().pod_b, 40000, kSegment);
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_TRUE(same_packet(out.frame,
                          big(packet(eth(kMacB, kMacLink), ip(cast().pod_a, cast().pod_b).ttl(63),
                                     tcp(40000, 80, ACK), 2 * kSegment))));
  const weir_ct ct = bed().connection(cast().pod_a, 40000, cast().pod_b, 80, 6).value();
  EXPECT_EQ(ct.packets[0] + ct.packets[1], 2U);
  EXPECT_EQ(ct.bytes[0] + ct.bytes[1], headers() + jumbo_bytes() + 2 * kSegment);
  EXPECT_EQ(bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_IN).packets, 2U);
}

// Its segments bear no jumbo header any more.
TEST_P(BigTcp, FullSegmentsFitTheWay) {
  for (const auto& [dst, mtu] : {std::pair(cast().pod_r, 1450U), {cast().outside, 1500U}}) {
    const auto fits = static_cast<std::uint32_t>(mtu - headers());
    EXPECT_EQ(send(dst, 62000, fits).verdict, kRedirect) << mtu;
    EXPECT_EQ(send(dst, 62000, fits + 1).verdict, kNext) << mtu;
  }
}

TEST_P(BigTcp, IsTranslatedToServicesAndToTheNodesAddress) {
  TestServices services(bed());
  services.add({.vip = cast().vip, .port = 80, .proto = 6, .backends = {{cast().pod_b, 8080}}});
  EXPECT_TRUE(same_packet(send(cast().vip, 40000, kSegment).frame,
                          big(packet(eth(kMacB, kMacLink), ip(cast().pod_a, cast().pod_b).ttl(63),
                                     tcp(40000, 8080, ACK), 2 * kSegment))));
  EXPECT_TRUE(same_packet(send(cast().outside, 62000, kSegment).frame,
                          big(packet(eth(), ip(cast().node, cast().outside).ttl(63),
                                     tcp(62000, 80, ACK), 2 * kSegment))));
}

// What is not to be cut up has its header on the wire.
TEST_P(BigTcp, AJumboHeaderOfOnePacketCounts) {
  if (cast().v4()) return;  // it is IPv6's
  const std::size_t fits = 1450 - headers() - kJumboBytes;
  const auto alone = [&](std::size_t size) {
    return bed().run({.ifindex = kLinkA},
                     big(packet(eth(), ip(cast().pod_a, cast().pod_r), tcp(40000, 80, ACK), size)));
  };
  EXPECT_EQ(alone(fits).verdict, kRedirect);
  EXPECT_EQ(alone(fits + 1).verdict, kNext);
}

WEIR_BOTH_FAMILIES(BigTcp);

}  // namespace
}  // namespace weir
