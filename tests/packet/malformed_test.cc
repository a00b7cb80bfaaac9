// What cannot be read, and what reads oddly: options, extension headers, foreign protocols.
#include "harness/bed.h"

namespace weir {
namespace {

class Malformed : public PacketTest {
 protected:
  // Multicast of all scopes, and limited broadcast.
  std::vector<Address> groups() const {
    if (cast().v4()) return {cast().multicast, addr("239.1.2.3"), addr("255.255.255.255")};
    return {cast().multicast, addr("ff02::1"), addr("ff05::1:3"), addr("ff0e::101")};
  }
};

// A frame cut after n bytes: dropped by a pod's hook, no crash, always counted (TearDown).
TEST_P(Malformed, EveryPrefixOfAFrameThatLacksItsTransportIsDropped) {
  const Packet whole = eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, SYN) / payload(20);
  const Bytes frame = whole.bytes();
  const std::size_t needed = (cast().v4() ? 34 : 54) + 20;
  for (std::size_t size = 15; size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    if (size < 14U + (cast().v4() ? 20 : 40)) continue;  // the kernel's test run refuses these
    const Outcome out = bed().from_pod(kLinkA, cut);
    if (size < needed) {
      EXPECT_EQ(out.reason(), WEIR_DROP_MALFORMED) << size << " bytes";
    } else {
      EXPECT_EQ(out.verdict, kRedirect) << size << " bytes";
    }
  }
}

TEST_P(Malformed, EveryPrefixAtEveryHook) {
  const Bytes frame =
      (eth() / ip(cast().pod_r, cast().pod_a) / Udp{5000, 53} / payload(20)).bytes();
  for (std::size_t size = 14U + (cast().v4() ? 20 : 40); size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    bed().from_nic(cut);
    bed().from_tunnel(cast().node_r, cut);
    bed().to_nic(cut);
    bed().to_tunnel(cut);
    bed().to_pod(kLinkA, cut);
  }
}

TEST_P(Malformed, TheWrongVersionIsMalformed) {
  Bytes frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(1, 2)).bytes();
  frame[14] = static_cast<std::uint8_t>((cast().v4() ? 0x60 : 0x40) | (frame[14] & 0xf));
  EXPECT_EQ(bed().from_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
}

TEST_P(Malformed, WhatANicHasForTheStackIsNotOursToDrop) {
  Bytes frame = (eth() / ip(cast().outside, cast().node) / udp(1, 2)).bytes();
  frame.resize(frame.size() - 4);
  EXPECT_EQ(bed().from_nic(frame).verdict, kNext);
  frame = (eth() / ip(cast().outside, cast().pod_a) / udp(1, 2)).bytes();
  frame.resize(frame.size() - 4);
  EXPECT_EQ(bed().from_nic(frame).reason(), WEIR_DROP_MALFORMED);
  frame = (eth() / ip(cast().pod_r, cast().node) / udp(1, 2)).bytes();
  frame.resize(frame.size() - 4);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, frame).reason(), WEIR_DROP_MALFORMED);
}

TEST_P(Malformed, TheHostsOwnOdditiesLeave) {
  Bytes frame = (eth() / ip(cast().node, cast().outside) / udp(1, 2)).bytes();
  frame.resize(frame.size() - 4);
  EXPECT_EQ(bed().to_nic(frame).verdict, kNext);
  EXPECT_EQ(bed().to_tunnel(frame).reason(), WEIR_DROP_MALFORMED);
  EXPECT_EQ(bed().to_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
}

TEST_P(Malformed, MulticastStaysOnTheLink) {
  for (const Address& group : groups()) {
    const Packet from_pod = eth() / ip(cast().pod_a, group) / udp(5353, 5353);
    const Packet from_host = eth() / ip(cast().node, group) / udp(5353, 5353);
    EXPECT_EQ(bed().from_pod(kLinkA, from_pod).reason(), WEIR_DROP_LINK_MULTICAST)
        << group.to_string();
    EXPECT_EQ(bed().to_pod(kLinkA, from_host).reason(), WEIR_DROP_LINK_MULTICAST)
        << group.to_string();
    EXPECT_EQ(bed().to_tunnel(from_host).reason(), WEIR_DROP_LINK_MULTICAST) << group.to_string();
  }
}

// Nothing of it is for a pod; what NICs have of it is the host's business.
TEST_P(Malformed, MulticastOfTheNetIsTheHosts) {
  for (const Address& group : groups()) {
    EXPECT_EQ(bed().from_nic(eth() / ip(cast().gateway, group) / udp(5353, 5353)).verdict, kNext);
    EXPECT_EQ(bed().from_nic(eth() / ip(cast().pod_r, group) / udp(5353, 5353)).reason(),
              WEIR_DROP_SPOOFED);
    EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, group) / udp(5353, 5353)).verdict, kNext);
    EXPECT_EQ(bed()
                  .from_tunnel(cast().node_r, eth() / ip(cast().pod_r, group) / udp(5353, 5353))
                  .reason(),
              WEIR_DROP_POD_UNKNOWN);
  }
  EXPECT_EQ(bed().connections(), 0u);
}

// The last address of a link's or of the pods' range.
TEST_P(Malformed, ASubnetsBroadcastIsNobody) {
  if (!cast().v4()) return;  // IPv6 has none
  const Address link = addr("172.30.0.255"), pods = addr("10.244.1.255"),
                far = addr("10.244.2.255");
  const auto from_pod = [&](const Address& to) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, to) / udp(5000, 137)).reason();
  };
  EXPECT_EQ(from_pod(link), WEIR_DROP_NO_ROUTE);
  EXPECT_EQ(from_pod(pods), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(from_pod(far), std::nullopt) << "how node_r divides its range is for node_r to know";
  const auto from_net = [&](const Address& to) {
    return eth() / ip(cast().gateway, to) / udp(5000, 137);
  };
  EXPECT_EQ(bed().from_nic(from_net(link)).verdict, kNext);
  EXPECT_EQ(bed().from_nic(from_net(pods)).reason(), WEIR_DROP_POD_UNKNOWN);
  const auto from_node = [&](const Address& to) {
    return eth() / ip(cast().pod_r, to) / udp(5000, 137);
  };
  EXPECT_EQ(bed().from_tunnel(cast().node_r, from_node(pods)).reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, from_node(link)).reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().to_pod(kLinkA, eth() / ip(cast().node, pods) / udp(5000, 137)).reason(),
            WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(bed().to_nic(eth() / ip(cast().node, link) / udp(5000, 137)).verdict, kNext);
}

WEIR_BOTH_FAMILIES(Malformed);

class Ethernet : public PacketTest {
 protected:
  void SetUp() override { start(small()); }
  Bytes frame(std::uint16_t type) { return (Packet{{Eth{.type = type}}} / payload(46)).bytes(); }
};

TEST_P(Ethernet, PodsNeedNoArpAndNoOtherProtocol) {
  for (const int type : {0x0806, 0x8100, 0x88a8, 0x888e, 0x8847}) {
    const Outcome out = bed().from_pod(kLinkA, frame(static_cast<std::uint16_t>(type)));
    EXPECT_EQ(out.reason(), WEIR_DROP_UNSUPPORTED_L3) << std::hex << type;
  }
}

TEST_P(Ethernet, TheHostsArpPasses) {
  EXPECT_EQ(bed().from_nic(frame(0x0806)).verdict, kNext);
  EXPECT_EQ(bed().to_nic(frame(0x0806)).verdict, kNext);
  EXPECT_EQ(bed().to_tunnel(frame(0x0806)).reason(), WEIR_DROP_UNSUPPORTED_L3);
}

INSTANTIATE_TEST_SUITE_P(, Ethernet, testing::Values(Family::kIpv4), family_name);

// IPv4 options, IPv6 extension headers: the transport is found behind them, or the packet dropped.
class Headers : public PacketTest {
 protected:
  Outcome send(const auto&... extensions) {
    Packet packet = eth() / ip(cast().pod_a, cast().pod_b);
    ((packet = packet / extensions), ...);
    return bed().from_pod(kLinkA, packet / udp(5000, 53));
  }
  static Extension padded(std::uint8_t type, std::size_t size = 8) {
    return {type, Bytes(size - 2, 1)};
  }
  bool seen() { return bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17).has_value(); }
};

class Ipv4Options : public Headers {};
class Ipv6Extensions : public Headers {};

TEST_P(Ipv4Options, TheTransportIsBehindThem) {
  Ip head = ip(cast().pod_a, cast().pod_b);
  head.options = Bytes(40, 1);
  const Outcome out = bed().from_pod(kLinkA, eth() / head / udp(5000, 53));
  EXPECT_TRUE(same_packet(out.frame, eth(kMacB, kMacLink) / head.ttl(63) / udp(5000, 53)));
  EXPECT_TRUE(seen());
}

TEST_P(Ipv4Options, AHeaderShorterThanItselfIsMalformed) {
  Bytes frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)).bytes();
  for (int ihl = 0; ihl < 5; ++ihl) {
    frame[14] = static_cast<std::uint8_t>(0x40 + ihl);
    EXPECT_EQ(bed().from_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
  }
}

TEST_P(Ipv4Options, CutShortTheyAreMalformedInAnyPacket) {
  Ip head = ip(cast().pod_a, cast().pod_b);
  head.options = Bytes(8, 1);
  head.proto = 47;
  Bytes frame = (eth() / head).bytes();
  EXPECT_EQ(bed().from_pod(kLinkA, frame).verdict, kRedirect);
  frame.resize(frame.size() - 2);
  EXPECT_EQ(bed().from_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
}

TEST_P(Ipv6Extensions, TheTransportIsBehindThem) {
  EXPECT_EQ(send(padded(0), padded(60, 16), padded(43, 24)).verdict, kRedirect);
  EXPECT_TRUE(seen());
  EXPECT_EQ(send(Extension{51, Bytes(22, 0)}).verdict, kRedirect) << "AH counts in words of 4";
  EXPECT_EQ(bed().connections(), 1u);
}

TEST_P(Ipv6Extensions, TooManyAreMalformed) {
  const Extension e = padded(60);
  EXPECT_EQ(send(e, e, e, e, e).verdict, kRedirect);
  EXPECT_EQ(send(e, e, e, e, e, e, e).reason(), WEIR_DROP_MALFORMED);
}

// The ports are those of the real transport header, or there is no judgement: a long extension may
// not lead the parser back into itself.
TEST_P(Ipv6Extensions, ALongOneHidesNothing) {
  for (std::size_t size = 8; size <= 2048; size += 8) {
    Extension cover = padded(60, size);
    for (std::size_t at = 0; at + 8 <= cover.body.size(); at += 2) {
      cover.body[at] = 0x30;  // port 0x3030, wherever one looks
      cover.body[at + 1] = 0x30;
    }
    const Packet packet =
        eth() / ip(cast().pod_a, cast().node_r) / cover / udp(5000, 8472) / payload(20);
    const auto reason = bed().from_pod(kLinkA, packet).reason();
    ASSERT_TRUE(reason == WEIR_DROP_TUNNEL_FORBIDDEN || reason == WEIR_DROP_MALFORMED)
        << size << " bytes of options hid the tunnel's port";
  }
}

TEST_P(Ipv6Extensions, CutShortTheyAreMalformed) {
  const Bytes frame =
      (eth() / ip(cast().pod_a, cast().pod_b) / padded(0, 16) / padded(60, 24) / udp(5000, 53))
          .bytes();
  for (std::size_t size = 54; size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(bed().from_pod(kLinkA, cut).reason(), WEIR_DROP_MALFORMED) << size;
  }
}

TEST_P(Ipv6Extensions, NoNextHeaderAndEspHaveNoPorts) {
  for (const int proto : {59, 50}) {
    Ip head = ip(cast().pod_a, cast().pod_b);
    head.proto = static_cast<std::uint8_t>(proto);
    EXPECT_EQ(bed().from_pod(kLinkA, eth() / head / payload(16)).verdict, kRedirect);
    EXPECT_TRUE(bed().connection(cast().pod_a, 0, cast().pod_b, 0, proto));
  }
}

TEST_P(Ipv6Extensions, AV4MappedAddressIsMalformed) {
  const Address mapped = addr("10.244.1.11");
  Bytes frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)).bytes();
  std::copy(mapped.bytes().begin(), mapped.bytes().end(), frame.begin() + 38);
  EXPECT_EQ(bed().from_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
  frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)).bytes();
  std::copy(mapped.bytes().begin(), mapped.bytes().end(), frame.begin() + 22);
  EXPECT_EQ(bed().from_pod(kLinkA, frame).reason(), WEIR_DROP_MALFORMED);
}

INSTANTIATE_TEST_SUITE_P(, Ipv4Options, testing::Values(Family::kIpv4), family_name);
INSTANTIATE_TEST_SUITE_P(, Ipv6Extensions, testing::Values(Family::kIpv6), family_name);

}  // namespace
}  // namespace weir
