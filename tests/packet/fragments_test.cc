// Fragments: the first one tells the ports of all, and is believed only for its own datagram.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "harness/bed.h"

namespace weir {
namespace {

class Fragments : public PacketTest {
 protected:
  std::vector<Bytes> cut(const Address& src, const Address& dst, std::uint16_t from,
                         std::uint16_t to, std::uint32_t id = 7, std::uint8_t ttl = 64) {
    return fragments(eth() / ip(src, dst).ttl(ttl) / udp(from, to) / payload(200), id, 64, 64);
  }
};

TEST_P(Fragments, TheOthersFollowTheFirst) {
  const auto parts = cut(cast().pod_a, cast().pod_b, 5000, 53);
  ASSERT_EQ(parts.size(), 4u);
  for (const std::size_t i : {0, 2, 3, 1}) {
    EXPECT_EQ(bed().from_pod(kLinkA, parts[i]).verdict, kRedirect) << i;
  }
  EXPECT_EQ(bed().connections(), 1u);
  const weir_ct ct = bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17).value();
  EXPECT_EQ(ct.packets[0], 4u);
}

TEST_P(Fragments, OneBeforeItsFirstHasNoPorts) {
  const auto parts = cut(cast().pod_a, cast().pod_b, 5000, 53);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[1]).reason(), WEIR_DROP_FRAG_NO_FIRST);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[0]).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[1]).verdict, kRedirect);
}

TEST_P(Fragments, OfAnotherDatagramAreNotMixedUp) {
  const auto seven = cut(cast().pod_a, cast().pod_b, 5000, 53, 7);
  const auto eight = cut(cast().pod_a, cast().pod_b, 6000, 53, 8);
  bed().from_pod(kLinkA, seven[0]);
  EXPECT_EQ(bed().from_pod(kLinkA, eight[1]).reason(), WEIR_DROP_FRAG_NO_FIRST);
  EXPECT_EQ(bed().from_pod(kLinkB, cut(cast().pod_b, cast().pod_a, 5000, 53)[1]).reason(),
            WEIR_DROP_FRAG_NO_FIRST);
}

TEST_P(Fragments, AreTranslatedAllTogether) {
  const auto out = cut(cast().pod_a, cast().outside, 62000, 53);
  const auto want = cut(cast().node, cast().outside, 62000, 53, 7, 63);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Outcome sent = bed().from_pod(kLinkA, out[i]);
    EXPECT_EQ(sent.verdict, kRedirect);
    EXPECT_TRUE(same_packet(sent.frame, want[i])) << i;
  }
  const auto back = cut(cast().outside, cast().node, 53, 62000);
  for (const Bytes& part : back) {
    const Outcome got = bed().from_nic(part);
    EXPECT_EQ(got.verdict, kRedirect);
    EXPECT_EQ(Wire::parse(got.frame)->ip_dst.to_string(), cast().pod_a.to_string());
  }
}

TEST_P(Fragments, AFirstTooShortForItsPortsIsMalformed) {
  const auto tiny = fragments(eth() / ip(cast().pod_a, cast().pod_b) / tcp(1, 2, SYN), 9, 8, 64);
  EXPECT_EQ(bed().from_pod(kLinkA, tiny[0]).reason(), WEIR_DROP_MALFORMED);
  EXPECT_EQ(bed().from_pod(kLinkA, tiny[1]).reason(), WEIR_DROP_FRAG_NO_FIRST);
}

// Reassembled over the first, a later piece must not move the packet to a port that was not judged.
TEST_P(Fragments, LaterOnesMayNotBringNewPorts) {
  const auto parts = cut(cast().pod_a, cast().node_r, 5000, 8472);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[0]).reason(), WEIR_DROP_TUNNEL_FORBIDDEN);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[1]).reason(), WEIR_DROP_TUNNEL_FORBIDDEN);
}

// Reassembled over the first, it would bring ports or flags that nobody has judged.
TEST_P(Fragments, OneThatBeginsInTheTransportHeaderIsDropped) {
  const auto whole = fragments(
      eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, ACK) / payload(200), 7, 64, 64);
  bed().from_pod(kLinkA, whole[0]);
  for (const std::size_t offset : {8, 16}) {
    const auto over = fragments(
        eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, ACK) / payload(200), 7, offset, 64);
    EXPECT_EQ(bed().from_pod(kLinkA, over[1]).reason(), WEIR_DROP_FRAG_OVERLAP) << offset;
  }
  EXPECT_EQ(bed().from_pod(kLinkA, whole[1]).verdict, kRedirect);
  EXPECT_EQ(bed().from_nic(cut(cast().outside, cast().node, 53, 9)[0]).verdict, kNext);
}

// What the receiver makes of two that bring the same bytes is its own affair (RFC 5722): here the
// first has them, and one that is dropped takes nothing from those that fit.
TEST_P(Fragments, OneWithBytesThatHaveComeIsDropped) {
  const Packet whole = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(5000);
  const auto pieces = [&](std::size_t at, std::size_t size) {
    return fragments(whole, 7, at, size).at(1);
  };
  bed().from_pod(kLinkA, fragments(whole, 7, 512, 512)[0]);
  EXPECT_EQ(bed().from_pod(kLinkA, pieces(1024, 512)).verdict, kRedirect);
  const std::pair<std::size_t, std::size_t> over[] = {
      {1024, 512}, {1024, 8}, {1528, 8}, {1016, 16}, {1528, 2048}, {504, 16}, {8, 8}, {8, 3000},
  };
  for (const auto& [at, size] : over)
    EXPECT_EQ(bed().from_pod(kLinkA, pieces(at, size)).reason(), WEIR_DROP_FRAG_OVERLAP)
        << at << " " << size;
  EXPECT_EQ(bed().from_pod(kLinkA, pieces(512, 512)).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, pieces(1536, 8)).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, pieces(1544, 1000)).verdict, kRedirect);
  EXPECT_EQ(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_FRAG_OVERLAP), std::size(over));
}

// Identifiers come round again.
TEST_P(Fragments, AnotherFirstOneBeginsAnotherDatagram) {
  for (int i = 0; i < 3; ++i)
    for (const Bytes& part : cut(cast().pod_a, cast().pod_b, 5000, 53))
      EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect) << i;
}

// Ethernet frames have 60 bytes; what is behind the packet is not of the datagram.
TEST_P(Fragments, PaddingIsNotTheirs) {
  const Packet whole = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(64);
  for (Bytes part : fragments(whole, 7, 8, 8)) {
    part.resize(std::max<std::size_t>(part.size() + 24, 60));
    EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect);
  }
}

TEST_P(Fragments, OfMoreThan64KiBAreMalformed) {
  const Packet whole = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(65490);
  bed().from_pod(kLinkA, fragments(whole, 7, 64, 64)[0]);
  Bytes last = fragments(whole, 7, 65456, 65456).at(1);
  EXPECT_EQ(bed().from_pod(kLinkA, last).verdict, kRedirect);
  last.resize(14 + 1386);
  const std::uint16_t length = htons(cast().v4() ? 1386 : 1386 - 40);
  std::memcpy(&last.at(cast().v4() ? 14 + 2 : 14 + 4), &length, sizeof length);
  EXPECT_EQ(bed().from_pod(kLinkA, last).reason(), WEIR_DROP_MALFORMED);
}

TEST_P(Fragments, RightBehindTheTransportHeaderOneMayBegin) {
  const Packet udp_packet = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(64);
  for (const Bytes& part : fragments(udp_packet, 7, 8, 64))
    EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect);
  const Packet tcp_packet =
      eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, ACK) / payload(64);
  for (const Bytes& part : fragments(tcp_packet, 8, 24, 64))
    EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect);
}

// Whatever comes before the first one is dropped, and nothing else.
TEST_P(Fragments, InEveryOrder) {
  const auto orders = [&](const Address& dst, std::uint16_t src_port) {
    std::array<std::size_t, 4> order = {0, 1, 2, 3};
    std::uint32_t id = 100;
    do {
      const auto parts = cut(cast().pod_a, dst, src_port, 53, ++id);
      bool first_seen = false;
      for (const std::size_t i : order) {
        first_seen = first_seen || i == 0;
        const Outcome out = bed().from_pod(kLinkA, parts.at(i));
        ASSERT_EQ(out.verdict, first_seen ? kRedirect : kDropped) << fmt::format("{}", order);
        if (!first_seen) {
          ASSERT_EQ(out.reason(), WEIR_DROP_FRAG_NO_FIRST);
        }
      }
    } while (std::ranges::next_permutation(order).found);
    EXPECT_EQ(bed().connection(cast().pod_a, src_port, dst, 53, 17)->packets[0], 24 * 4 - 36u);
  };
  orders(cast().pod_b, 5000);
  orders(cast().pod_r, 5001);
  EXPECT_EQ(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_FRAG_NO_FIRST), 2 * 36u);
}

// Fragments are remembered before their source is judged: what another pod forges, or another
// machine, must not say what the ports of this pod's datagram are.
TEST_P(Fragments, ForgedOnesDoNotSpeakForAnotherLink) {
  const auto own = cut(cast().pod_a, cast().pod_b, 5000, 53);
  const auto forged = cut(cast().pod_a, cast().pod_b, 6000, 9);
  bed().from_pod(kLinkA, own[0]);
  EXPECT_EQ(bed().from_pod(kLinkB, forged[0]).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().from_nic(forged[0]).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, forged[0]).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(bed().from_pod(kLinkA, own[1]).verdict, kRedirect);
  EXPECT_EQ(bed().connections(), 1u);
  EXPECT_EQ(bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17)->packets[0], 2u);
}

TEST_P(Fragments, FromTheNetTheyMayComeByAnyNic) {
  const auto parts = cut(cast().outside, cast().pod_b, 5000, 53);
  EXPECT_EQ(bed().from_nic(parts[0]).verdict, kRedirect);
  EXPECT_EQ(bed().run({.hook = WEIR_HOOK_FROM_NET, .ifindex = kLinkSpare}, parts[1]).verdict,
            kRedirect);
}

// An agent of another build has left a table of another layout: it is made anew.
TEST_P(Fragments, ATableOfAnotherLayoutIsMadeAnew) {
  bed().replace_map("weir_frag", BPF_MAP_TYPE_LRU_HASH, 40, 4, 4096);
  Settings other = small().settings;
  other.masquerade = false;  // another build: what is pinned is not adopted as it is
  bed().restart(other);
  ASSERT_EQ(bed().plane().warnings().size(), 1u);
  EXPECT_NE(bed().plane().warnings()[0].find("weir_frag"), std::string::npos);
  const auto parts = cut(cast().pod_a, cast().pod_b, 5000, 53);
  for (const Bytes& part : parts) EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect);
}

WEIR_BOTH_FAMILIES(Fragments);

class Ipv6Fragments : public PacketTest {
 protected:
  // What a fragment header begins: its first piece has the extension headers before the transport,
  // the later ones name the first of those, not the transport.
  std::vector<Bytes> cut(const auto&... behind) {
    Packet whole = eth() / ip(cast().pod_a, cast().pod_b);
    ((whole = whole / behind), ...);
    return fragments(whole / udp(5000, 53) / payload(200), 7, 64, 64);
  }
  static Extension padded(std::uint8_t type, std::size_t size = 8) {
    return {type, Bytes(size - 2, 1)};
  }
  void expect_all_pass(const std::vector<Bytes>& parts) {
    for (const Bytes& part : parts) EXPECT_EQ(bed().from_pod(kLinkA, part).verdict, kRedirect);
    EXPECT_EQ(bed().connections(), 1u);
    EXPECT_EQ(bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17)->packets[0], parts.size());
    bed().sweep({});
    bed().sweep({});
  }
};

TEST_P(Ipv6Fragments, LaterOnesFollowWhateverHeadersAreBehindTheFragmentHeader) {
  const Extension auth{51, Bytes(22, 0)};
  expect_all_pass(cut());
  expect_all_pass(cut(padded(60)));
  expect_all_pass(cut(padded(60, 24), padded(43)));
  expect_all_pass(cut(auth, padded(60)));
}

// RFC 8200: of the Next Header values only the first fragment's counts.
TEST_P(Ipv6Fragments, WhatLaterOnesSayOfTheTransportIsNotHeard) {
  auto parts = cut();
  parts[1][54] = 6;
  parts[2][54] = 58;
  expect_all_pass(parts);
}

// RFC 6946: a fragment that is the whole datagram has nothing to do with others of its identifier.
TEST_P(Ipv6Fragments, AnAtomicOneIsAWholePacket) {
  const auto parts = cut();
  EXPECT_EQ(bed().from_pod(kLinkA, parts[0]).verdict, kRedirect);
  const Packet atomic = eth() / ip(cast().pod_a, cast().pod_b) / FragmentHeader{7, 0, false} /
                        udp(6000, 9) / payload(20);
  EXPECT_EQ(bed().from_pod(kLinkA, atomic).verdict, kRedirect);
  EXPECT_EQ(bed().from_pod(kLinkA, parts[1]).verdict, kRedirect);
  EXPECT_EQ(bed().connection(cast().pod_a, 5000, cast().pod_b, 53, 17)->packets[0], 2u);
  EXPECT_EQ(bed().connection(cast().pod_a, 6000, cast().pod_b, 9, 17)->packets[0], 1u);
}

// The transport header is not where the datagram begins.
TEST_P(Ipv6Fragments, OneThatBeginsInTheHeadersIsDropped) {
  bed().from_pod(kLinkA, cut(padded(60, 24))[0]);
  const Packet whole =
      eth() / ip(cast().pod_a, cast().pod_b) / padded(60, 24) / udp(5000, 53) / payload(200);
  for (const std::size_t offset : {8, 16, 24, 56})
    EXPECT_EQ(bed().from_pod(kLinkA, fragments(whole, 7, offset)[1]).reason(),
              WEIR_DROP_FRAG_OVERLAP)
        << offset;
  EXPECT_EQ(bed().from_pod(kLinkA, fragments(whole, 7, 64)[1]).verdict, kRedirect);
}

INSTANTIATE_TEST_SUITE_P(, Ipv6Fragments, testing::Values(Family::kIpv6), family_name);

}  // namespace
}  // namespace weir
