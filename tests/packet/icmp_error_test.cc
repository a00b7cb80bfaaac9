// ICMP errors: they belong to the connection whose packet they quote, both ways, translated or not.
#include "harness/bed.h"

namespace weir {
namespace {

class IcmpError : public PacketTest {
 protected:
  Family family() const { return GetParam(); }

  // An error as it left, checked: checksums right, from -> to, quoting q_src:q_port -> ...
  struct Quote {
    Address src, dst;
    std::uint16_t src_port, dst_port;
  };
  void expect_error(const Outcome& out, const Address& from, const Address& to,
                    const Quote& quoted) {
    const auto wire = Wire::parse(out.frame);
    ASSERT_TRUE(wire) << describe(out.frame);
    EXPECT_EQ(wire->ip_src.to_string(), from.to_string());
    EXPECT_EQ(wire->ip_dst.to_string(), to.to_string());
    EXPECT_TRUE(wire->ip_checksum_ok) << describe(out.frame);
    EXPECT_TRUE(wire->l4_checksum_ok) << describe(out.frame);
    const auto inner = wire->parse_quote();
    ASSERT_TRUE(inner);
    EXPECT_EQ(inner->ip_src.to_string(), quoted.src.to_string());
    EXPECT_EQ(inner->ip_dst.to_string(), quoted.dst.to_string());
    EXPECT_TRUE(inner->ip_checksum_ok);
    EXPECT_EQ(inner->src_port.value_or(inner->echo_id.value_or(0)), quoted.src_port);
    EXPECT_EQ(inner->dst_port.value_or(inner->echo_id.value_or(0)), quoted.dst_port);
  }
};

TEST_P(IcmpError, BetweenPodsOfANode) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(30);
  bed().from_pod(kLinkA, request);
  const Outcome out = bed().from_pod(
      kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / port_unreachable(family()) / quote(request));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(out.frame)->dst, kMacA);
  expect_error(out, cast().pod_b, cast().pod_a, {cast().pod_a, cast().pod_b, 5000, 53});
  EXPECT_EQ(bed().connections(), 1u) << "an error is no connection";
}

TEST_P(IcmpError, ThroughTheTunnel) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_r) / tcp(40000, 80, SYN);
  bed().from_pod(kLinkA, request);
  const Packet error =
      eth() / ip(cast().node_r, cast().pod_a) / too_big(family(), 1400) / quote(request, 20);
  const Outcome in = bed().from_tunnel(cast().node_r, error);
  EXPECT_EQ(in.verdict, kRedirect);
  expect_error(in, cast().node_r, cast().pod_a, {cast().pod_a, cast().pod_r, 40000, 80});

  const Packet reply = eth() / ip(cast().pod_r, cast().pod_a) / tcp(80, 40000, SYN | ACK);
  bed().from_tunnel(cast().node_r, reply);
  const Outcome out = bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) /
                                                 port_unreachable(family()) / quote(reply, 20));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(out.mark & kMarkMask, kMarkJudged);
  expect_error(out, cast().pod_a, cast().pod_r, {cast().pod_r, cast().pod_a, 80, 40000});
}

// A router outside tells node, which is really the pod.
TEST_P(IcmpError, AboutATranslatedPacketReachesThePod) {
  const auto from_outside = [&](const Packet& sent) {
    return bed().from_nic(eth(kMacOther, kMacOther) / ip(cast().router, cast().node) /
                          time_exceeded(family()) / quote(sent));
  };
  for (const std::uint16_t port : std::array<std::uint16_t, 2>{62000, 5000}) {
    const Packet request = eth() / ip(cast().pod_a, cast().outside) / udp(port, 53) / payload(30);
    const auto sent = Wire::parse(bed().from_pod(kLinkA, request).frame);
    const Outcome in = from_outside(eth() / ip(cast().node, cast().outside) /
                                    udp(*sent->src_port, 53) / payload(30));
    EXPECT_EQ(in.verdict, kRedirect);
    EXPECT_EQ(Wire::parse(in.frame)->dst, kMacA);
    expect_error(in, cast().router, cast().pod_a, {cast().pod_a, cast().outside, port, 53});
  }
}

TEST_P(IcmpError, AboutATranslatedPingReachesThePod) {
  const Packet request = eth() / ip(cast().pod_a, cast().outside) / ping(7) / payload(30);
  const auto sent = Wire::parse(bed().from_pod(kLinkA, request).frame);
  const Packet quoted =
      eth() / ip(cast().node, cast().outside) / ping(sent->echo_id.value()) / payload(30);
  const Outcome in = bed().from_nic(eth() / ip(cast().router, cast().node) /
                                    time_exceeded(family()) / quote(quoted));
  expect_error(in, cast().router, cast().pod_a, {cast().pod_a, cast().outside, 7, 7});
}

// The pod complains of an answer; the outside must read of what it sent.
TEST_P(IcmpError, ByAPodAboutATranslatedAnswer) {
  const Outcome request =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(5000, 53));
  const std::uint16_t port = *Wire::parse(request.frame)->src_port;
  const Packet answer = eth() / ip(cast().outside, cast().pod_a) / udp(53, 5000) / payload(30);
  bed().from_nic(eth() / ip(cast().outside, cast().node) / udp(53, port) / payload(30));
  const Outcome out = bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) /
                                                 port_unreachable(family()) / quote(answer));
  EXPECT_EQ(out.verdict, kRedirect);
  expect_error(out, cast().node, cast().outside, {cast().outside, cast().node, 53, port});
}

TEST_P(IcmpError, AboutNothingKnownIsUnrelated) {
  const auto error = [&](const Address& from, const Address& to, const Packet& about) {
    return eth() / ip(from, to) / port_unreachable(family()) / quote(about);
  };
  const Packet never = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53);
  EXPECT_EQ(bed().from_pod(kLinkB, error(cast().pod_b, cast().pod_a, never)).reason(),
            WEIR_DROP_ICMP_UNRELATED);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, error(cast().pod_r, cast().pod_a, never)).reason(),
            WEIR_DROP_ICMP_UNRELATED);
  EXPECT_EQ(bed().from_nic(error(cast().router, cast().pod_a, never)).reason(),
            WEIR_DROP_ICMP_UNRELATED);
  EXPECT_EQ(bed().from_nic(error(cast().router, cast().node, never)).verdict, kNext)
      << "the host's own connections are not ours to know";
}

// What is behind the IP header of a later fragment are no ports, whatever they look like.
TEST_P(IcmpError, AboutALaterFragmentIsUnrelated) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53));
  Payload looks_like_ports{{}};
  for (int i = 0; i < 50; ++i)
    looks_like_ports.bytes.insert(looks_like_ports.bytes.end(), {19, 136, 0, 53});
  const auto parts = fragments(
      eth() / ip(cast().pod_a, cast().pod_b) / udp(6000, 9) / looks_like_ports, 7, 64, 64);
  for (std::size_t i = 0; i < 2; ++i) {
    bed().from_pod(kLinkA, parts[i]);
    const Payload quoted{Bytes(parts[i].begin() + 14, parts[i].end())};
    const Outcome out = bed().from_pod(
        kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / port_unreachable(family()) / quoted);
    if (i == 0) {
      EXPECT_EQ(out.verdict, kRedirect) << "the first one has ports";
    } else {
      EXPECT_EQ(out.reason(), WEIR_DROP_ICMP_UNRELATED);
    }
  }
}

TEST_P(IcmpError, CutShortItIsUnrelated) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(30);
  bed().from_pod(kLinkA, request);
  const Bytes frame =
      (eth() / ip(cast().pod_b, cast().pod_a) / port_unreachable(family()) / quote(request))
          .bytes();
  const std::size_t behind = (cast().v4() ? 34U : 54U) + 8;
  for (std::size_t size = behind; size < frame.size(); ++size) {
    const Bytes cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(bed().from_pod(kLinkB, cut).reason(), WEIR_DROP_ICMP_UNRELATED) << size;
  }
}

TEST_P(IcmpError, TheHostTellsItsPods) {
  const Packet request = eth() / ip(cast().pod_a, cast().outside).ttl(1) / udp(5000, 53);
  const Packet error = eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) /
                       time_exceeded(family()) / quote(request);
  const Outcome out = bed().to_pod(kLinkA, error);
  EXPECT_EQ(out.verdict, kNext);
  EXPECT_TRUE(same_packet(out.frame, error));
}

TEST_P(IcmpError, ByAPodWithAnothersAddressIsSpoofed) {
  const Packet request = eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53);
  bed().from_pod(kLinkA, request);
  EXPECT_EQ(bed()
                .from_pod(kLinkB, eth() / ip(cast().outside, cast().pod_a) /
                                      port_unreachable(family()) / quote(request))
                .reason(),
            WEIR_DROP_SPOOFED);
}

// A pod is no router: it can complain only of what was sent to it.
TEST_P(IcmpError, ByAPodAboutOthersPacketsIsSpoofed) {
  const Packet request = eth() / ip(cast().pod_a, cast().outside) / tcp(62000, 443, SYN);
  bed().from_pod(kLinkA, request);
  EXPECT_EQ(bed()
                .from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / too_big(family(), 1280) /
                                      quote(request, 20))
                .reason(),
            WEIR_DROP_SPOOFED);
}

TEST_P(IcmpError, FromTheNicWithAPodsSourceIsSpoofed) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53);
  bed().from_pod(kLinkA, request);
  for (const Address& source : {cast().pod_b, cast().pod_gone, cast().pod_r}) {
    EXPECT_EQ(bed()
                  .from_nic(eth() / ip(source, cast().pod_a) / port_unreachable(family()) /
                            quote(request))
                  .reason(),
              WEIR_DROP_SPOOFED)
        << source.to_string();
  }
}

// The very next error after a move goes the new way too.
TEST_P(IcmpError, FollowsThePod) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(30);
  bed().from_pod(kLinkA, request);
  weir_endpoint& endpoint = bed().entries().endpoints[cast().pod_a];
  endpoint.ifindex = kLinkSpare;
  std::copy(kMacSpare.begin(), kMacSpare.end(), endpoint.mac);
  bed().apply();
  const Outcome out = bed().from_pod(
      kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / port_unreachable(family()) / quote(request));
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(out.frame)->dst, kMacSpare);
}

TEST_P(IcmpError, WithoutHopsLeftIsDropped) {
  const Packet request = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53);
  bed().from_pod(kLinkA, request);
  EXPECT_EQ(bed()
                .from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a).ttl(1) /
                                      port_unreachable(family()) / quote(request))
                .reason(),
            WEIR_DROP_TTL);
}

TEST_P(IcmpError, ADroppedOneIsToldAsItCame) {
  const Packet quoted = eth() / ip(cast().node, cast().outside) / udp(62000, 53);
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53));
  const Outcome out = bed().from_nic(eth() / ip(cast().router, cast().node).ttl(1) /
                                     time_exceeded(family()) / quote(quoted));
  EXPECT_EQ(out.reason(), WEIR_DROP_TTL);
  EXPECT_EQ(from_abi(out.event(WEIR_EVENT_DROP)->dst), cast().node);
}

WEIR_BOTH_FAMILIES(IcmpError);

// IPv6: the quoted packet's transport is behind its extension headers, too.
class QuotedExtensions : public IcmpError {
 protected:
  static Extension padded(std::uint8_t type, std::size_t size = 8) {
    return {type, Bytes(size - 2, 1)};
  }
  // The error about `sent`, quoting as much of it as there may be.
  Outcome complain(const Packet& sent) {
    return bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) /
                                      port_unreachable(family()) / quote(sent, 400));
  }
  Packet sent(const auto&... extensions) {
    Packet packet = eth() / ip(cast().pod_a, cast().pod_b);
    ((packet = packet / extensions), ...);
    return packet / udp(5000, 53) / payload(30);
  }
};

TEST_P(QuotedExtensions, AreLookedBehind) {
  const Extension auth{51, Bytes(22, 0)};
  for (const Packet& packet :
       {sent(padded(60)), sent(padded(0, 16), padded(60)), sent(padded(0), auth, padded(43, 24)),
        sent(FragmentHeader{9, 0, true}), sent(padded(60), FragmentHeader{9, 0, false})}) {
    EXPECT_EQ(bed().from_pod(kLinkA, packet).verdict, kRedirect);
    const Outcome out = complain(packet);
    EXPECT_EQ(out.verdict, kRedirect);
    expect_error(out, cast().pod_b, cast().pod_a, {cast().pod_a, cast().pod_b, 5000, 53});
  }
  const Extension e = padded(60);
  EXPECT_EQ(complain(sent(e, e, e, e)).reason(), WEIR_DROP_ICMP_UNRELATED) << "too many";
}

TEST_P(QuotedExtensions, ATranslatedPacketIsTranslatedBackBehindThem) {
  const auto with_options = [&](const Address& from) {
    return eth() / ip(from, cast().outside) / padded(60, 16) / udp(62000, 53) / payload(30);
  };
  bed().from_pod(kLinkA, with_options(cast().pod_a));
  const Outcome in =
      bed().from_nic(eth() / ip(cast().router, cast().node) / too_big(family(), 1300) /
                     quote(with_options(cast().node), 400));
  EXPECT_EQ(in.verdict, kRedirect);
  expect_error(in, cast().router, cast().pod_a, {cast().pod_a, cast().outside, 62000, 53});
}

INSTANTIATE_TEST_SUITE_P(, QuotedExtensions, testing::Values(Family::kIpv6), family_name);

}  // namespace
}  // namespace weir
