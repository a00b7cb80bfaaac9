// Random mutations of valid frames through all programs, judged by a model that knows little, and
// that independently: what may never happen.
#include <fmt/format.h>

#include <chrono>
#include <random>

#include "harness/services.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kSeed = 20261124;
constexpr auto kLength = std::chrono::seconds(5);  // per family

class Fuzz : public PacketTest {
 protected:
  std::vector<Bytes> corpus() const;
  Bytes mutate(Bytes frame);
  std::size_t upto(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n)(random_);
  }

  std::mt19937 random_{kSeed};
};

std::vector<Bytes> Fuzz::corpus() const {
  const Cast& c = cast();
  std::vector<Bytes> frames;
  const auto add = [&](const Packet& packet) { frames.push_back(packet.bytes()); };
  for (const Address& dst :
       {c.pod_b, c.pod_r, c.outside, c.node, c.node_r, c.pod_gone, c.multicast, c.vip}) {
    add(eth() / ip(c.pod_a, dst) / tcp(62000, 80, SYN));
    add(eth() / ip(c.pod_a, dst) / tcp(62000, 80, FIN | ACK) / payload(40));
    add(eth() / ip(c.pod_a, dst) / udp(62001, 53) / payload(20));
    add(eth() / ip(c.pod_a, dst) / ping(62002) / payload(20));
    for (Bytes& part : fragments(eth() / ip(c.pod_a, dst) / udp(62003, 9) / payload(100), 5, 64)) {
      frames.push_back(std::move(part));
    }
  }
  const Packet answer = eth() / ip(c.pod_b, c.pod_a) / udp(53, 62001) / payload(20);
  add(eth() / ip(c.pod_a, c.pod_b) / port_unreachable(GetParam()) / quote(answer));
  add(eth() / ip(c.outside, c.node) / udp(53, 62001) / payload(20));
  add(eth() / ip(c.outside, c.node) / tcp(80, 62000, SYN | ACK));
  add(eth() / ip(c.router, c.node) / time_exceeded(GetParam()) /
      quote(eth() / ip(c.node, c.outside) / udp(62001, 53)));
  add(eth() / ip(c.node, c.pod_a) / tcp(40000, 80, SYN));
  add(eth() / ip(c.node, c.vip) / tcp(40000, 80, SYN));
  add(eth() / ip(c.node, c.vip) / udp(40000, 53));
  if (!c.v4()) {
    add(eth() / ip(c.pod_a, c.pod_b) / Extension{0, Bytes(6)} / Extension{60, Bytes(14)} /
        Extension{43, Bytes(6)} / udp(62004, 53));
    add(eth() / ip(c.pod_a, c.outside) / Extension{51, Bytes(22)} / tcp(62005, 80, SYN));
  }
  return frames;
}

Bytes Fuzz::mutate(Bytes frame) {
  static constexpr std::uint8_t kTelling[] = {0, 1, 4, 6, 17, 43, 44, 51, 58, 60, 127, 128, 255};
  for (std::size_t n = upto(3); n > 0 && !frame.empty(); --n) {
    const std::size_t at = std::min(upto(frame.size() - 1), upto(frame.size() - 1));
    switch (upto(4)) {
      case 0:
        frame[at] ^= static_cast<std::uint8_t>(1U << upto(7));
        break;
      case 1:
        frame[at] = static_cast<std::uint8_t>(upto(255));
        break;
      case 2:
        frame[at] = kTelling[upto(std::size(kTelling) - 1)];
        break;
      case 3:
        frame.resize(std::max<std::size_t>(14, upto(frame.size())));
        break;
      default:
        frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at), upto(40), frame[at]);
    }
  }
  return frame;
}

// As the programs see it: the frame's length counts, not what the IP header says of it.
std::optional<Wire> by_frame_length(Bytes frame) {
  if (frame.size() >= 54) {
    const bool v4 = frame[12] == 8 && frame[13] == 0;
    const std::size_t length = v4 ? frame.size() - 14 : frame.size() - 54;
    frame[v4 ? 16 : 18] = static_cast<std::uint8_t>(length >> 8);
    frame[v4 ? 17 : 19] = static_cast<std::uint8_t>(length);
  } else if (frame.size() >= 34) {
    frame[16] = 0;
    frame[17] = static_cast<std::uint8_t>(frame.size() - 14);
  }
  return Wire::parse(frame);
}

bool is_multicast(const Wire& wire) {
  const auto& bytes = wire.ip_dst.bytes();
  if (wire.version == 6) return bytes[0] == 0xff;
  return bytes[12] >> 4 == 14 || (bytes[12] & bytes[13] & bytes[14] & bytes[15]) == 255;
}

// What is told to the sender of a packet that was refused.
bool is_answer(const Wire& before, const Wire& after) {
  const bool error = after.icmp_type == (after.version == 4 ? 3 : 1);
  if (before.icmp_type >= 0 || (before.tcp_flags & RST) != 0) return false;  // never answered
  return after.ip_src == before.ip_dst && after.ip_dst == before.ip_src &&
         ((after.tcp_flags & RST) != 0 || error);
}

// What a redirected packet keeps: one hop less, and checksums that were right stay right.
testing::AssertionResult sane(const Bytes& in, const Bytes& out, bool from_host) {
  const auto before = Wire::parse(in);
  const auto after = Wire::parse(out);
  if (!before || !after) return testing::AssertionSuccess();
  if (is_answer(*before, *after)) {
    return after->ip_checksum_ok && after->l4_checksum_ok
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << "checksum of an answer " << describe(out);
  }
  if (from_host) return testing::AssertionSuccess();
  if (after->ttl != before->ttl - 1) return testing::AssertionFailure() << "hop limit";
  if (before->ip_checksum_ok && !after->ip_checksum_ok)
    return testing::AssertionFailure() << "IP checksum broken";
  if (before->ip_checksum_ok && before->l4_checksum_ok && !after->l4_checksum_ok)
    return testing::AssertionFailure() << "checksum broken";
  return testing::AssertionSuccess();
}

TEST_P(Fuzz, NothingForbiddenEverHappens) {
  const std::vector<Bytes> frames = corpus();
  const Address vip4 = cast_of(Family::kIpv4).vip, vip6 = cast_of(Family::kIpv6).vip;
  TestServices services(bed());
  services.add(
      {.vip = cast().vip, .port = 80, .backends = {{cast().pod_b, 80}, {cast().pod_r, 9}}});
  services.add({.vip = cast().vip, .port = 53, .proto = 17, .backends = {}});
  for (const Bytes& frame : frames) bed().from_pod(kLinkA, frame);  // some connections to hit
  const auto& [pod_a4, pod_a6] =
      std::pair(cast_of(Family::kIpv4).pod_a, cast_of(Family::kIpv6).pod_a);
  struct Meeting {
    weir_hook hook;
    std::uint32_t ifindex;
  };
  constexpr Meeting kMeetings[] = {{WEIR_HOOK_FROM_POD, kLinkA},
                                   {WEIR_HOOK_TO_POD, kLinkA},
                                   {WEIR_HOOK_FROM_NET, kUplink},
                                   {WEIR_HOOK_TO_NET, kUplink}};
  std::uint64_t runs = 0, refused = 0, verdicts[3] = {};
  const auto end = Clock::now() + kLength;
  while (Clock::now() < end && !HasFailure()) {
    const Bytes in = mutate(frames[upto(frames.size() - 1)]);
    const auto wire = by_frame_length(in);
    for (const Meeting& meeting : kMeetings) {
      Bytes out = in;
      const int verdict = bed().run_fast(bed().program(meeting.hook), meeting.ifindex, in, out);
      ++runs;
      if (verdict < -900) {
        ++refused;
        continue;
      }
      ASSERT_TRUE(verdict == kNext || verdict == kDropped || verdict == kRedirect) << verdict;
      ++verdicts[verdict == kNext ? 0 : verdict == kDropped ? 1 : 2];
      SCOPED_TRACE(describe(in) + " at hook " + std::to_string(meeting.hook) + ", run " +
                   std::to_string(runs) + fmt::format("\n{:02x}", fmt::join(in, "")));
      if (verdict == kRedirect) {
        EXPECT_TRUE(sane(in, out, meeting.hook == WEIR_HOOK_TO_NET));
      } else {
        EXPECT_EQ(in, out) << "only what is sent on is rewritten";
      }
      if (meeting.hook == WEIR_HOOK_FROM_POD && verdict != kDropped) {
        ASSERT_TRUE(wire) << "unreadable, and let out of a pod";
        EXPECT_TRUE(wire->ip_src == pod_a4 || wire->ip_src == pod_a6) << "not the pod's source";
        EXPECT_FALSE(is_multicast(*wire));
      }
      if (meeting.hook == WEIR_HOOK_FROM_NET && wire && verdict == kRedirect) {
        for (const Family family : {Family::kIpv4, Family::kIpv6}) {
          EXPECT_FALSE(cast_of(family).pods.contains(wire->ip_src)) << "a pod of ours by the NIC";
          EXPECT_FALSE(cast_of(family).pods_r.contains(wire->ip_src)) << "a pod by the NIC";
        }
      }
      if (meeting.hook == WEIR_HOOK_TO_POD) {
        EXPECT_NE(verdict, kRedirect) << "only lets pass";
      }
      if (meeting.hook == WEIR_HOOK_TO_NET && verdict == kRedirect) {
        ASSERT_TRUE(wire);
        EXPECT_TRUE(wire->ip_dst == vip4 || wire->ip_dst == vip6)
            << "redirects but to a Service, as " << describe(out);
      }
    }
    if (runs % 1024 == 0) bed().drain();
  }
  std::printf(
      "seed %u: %llu runs, %llu refused by the kernel; %llu to the stack, %llu dropped, %llu "
      "sent\n",
      kSeed, static_cast<unsigned long long>(runs), static_cast<unsigned long long>(refused),
      static_cast<unsigned long long>(verdicts[0]), static_cast<unsigned long long>(verdicts[1]),
      static_cast<unsigned long long>(verdicts[2]));
  EXPECT_GT(verdicts[2], 0u);
}

WEIR_BOTH_FAMILIES(Fuzz);

}  // namespace
}  // namespace weir
