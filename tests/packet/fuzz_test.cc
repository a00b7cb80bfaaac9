// Random mutations of valid frames through all programs that meet packets, whole and as GSO
// packets, judged by fuzz_model.h. For WEIR_PACKET_FUZZ_SECONDS per family.
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

#include "fuzz_model.h"
#include "harness/services.h"

namespace weir::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kSeed = 20261124;
constexpr unsigned kRoom = 1 << 16;        // of the connection table
constexpr unsigned kFreshEvery = 1 << 12;  // frames: then the table is emptied
constexpr std::uint16_t kFirstPort = 40000;
constexpr int kConnections = 4;  // through this node that XDP knows

std::chrono::seconds length() {
  unsigned seconds = 60;
  if (const char* text = std::getenv("WEIR_PACKET_FUZZ_SECONDS"))
    std::from_chars(text, text + std::strlen(text), seconds);
  return std::chrono::seconds(seconds);
}

class Fuzz : public PacketTest {
 protected:
  void SetUp() override;
  // Frames to mutate; they are sent once, so that there are connections to hit.
  std::vector<Bytes> corpus();
  // Clients outside that speak by this node to pod_r, as frames of XDP; opens the connections.
  void passing_through(std::vector<Bytes>& frames);
  void refresh();

  int run_xdp(const Bytes& in, Bytes& out) const;
  std::string told(Way way, const Bytes& in);
  void check(Way way, const Bytes& in, const std::optional<Wire>& wire);
  void check_xdp(const Bytes& in);
  Bytes mutate(Bytes frame);
  // With right lengths and checksums, of which there are many.
  Bytes mended(Bytes frame);
  std::size_t upto(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n)(random_);
  }

  std::mt19937 random_{kSeed};
  std::unique_ptr<TestServices> services_;
  Fd xdp_;
  std::vector<Bytes> frames_;
  std::size_t passing_ = 0;  // of these, the last ones are passing_through()
  Bytes out_;
  std::uint64_t packets_ = 0, gso_ = 0, refused_ = 0, judged_ = 0, by_xdp_ = 0;
  std::array<std::uint64_t, 3> verdicts_{};  // to the stack, dropped, sent
};

void Fuzz::SetUp() {
  BedOptions options = small();
  options.settings.xdp = true;
  options.settings.ct_max = kRoom;
  start(options);
  xdp_ = bed().pinned_program("xdp");
  ASSERT_TRUE(bed().plane().attach_xdp("up0", kUplink));
  services_ = std::make_unique<TestServices>(bed());
  services_->add(
      {.vip = cast().vip, .port = 80, .backends = {{cast().pod_b, 80}, {cast().pod_r, 9}}});
  services_->add({.vip = cast().vip, .port = 53, .proto = 17, .backends = {}});
  for (const int proto : {6, 17}) {
    services_->add({.vip = TestServices::any(GetParam()),
                    .port = kNodePort,
                    .proto = proto,
                    .backends = {{cast().pod_r, 8080}},
                    .flags = WEIR_SERVICE_EXTERNAL});
  }
  services_->add({.vip = cast().vip_2,
                  .port = 443,
                  .backends = {{cast().pod_b, 444}, {cast().pod_r, 444}},
                  .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_DSR,
                  .local = {{cast().pod_b, 444}}});
  frames_ = corpus();
  refresh();
}

void Fuzz::refresh() {
  bed().sweep({});
  bed().sweep({});
  bed().drain();
  const std::size_t own = frames_.size() - std::min(frames_.size(), passing_);
  frames_.resize(own);
  for (const Bytes& frame : frames_) bed().from_pod(kLinkA, frame);
  passing_through(frames_);
  passing_ = frames_.size() - own;
}

void Fuzz::passing_through(std::vector<Bytes>& frames) {
  const Cast& c = cast();
  const Packet client = eth(kMacUplink, kMacGateway) / ip(c.outside, c.node);
  const auto answer = [&](const auto& l4) {
    return (eth(kMacTunnel, kMacLink) / ip(c.pod_r, c.node) / l4 / payload(40)).bytes();
  };
  for (std::uint16_t port = kFirstPort; port < kFirstPort + kConnections; ++port) {
    const auto sent = Wire::parse(bed().from_nic(client / tcp(port, kNodePort, SYN)).frame);
    ASSERT_TRUE(sent && sent->src_port);
    const Bytes back = answer(tcp(8080, *sent->src_port, ACK));
    bed().from_tunnel(c.node_r, back);
    Payload inside{{8, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(Settings().tunnel_vni), 0}};
    inside.bytes.insert(inside.bytes.end(), back.begin(), back.end());
    Udp outer = udp(50000, Settings().tunnel_port);
    outer.checksum = !c.v4();
    frames.push_back((client / tcp(port, kNodePort, ACK) / payload(40)).bytes());
    frames.push_back((eth(kMacUplink, kMacNodeR) / ip(c.node_r, c.node) / outer / inside).bytes());
    frames.push_back(back);
  }
}

std::vector<Bytes> Fuzz::corpus() {
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
  add(eth() / ip(c.outside, c.pod_b) / udp(53, 62001) / payload(20));
  add(eth() / ip(c.pod_r, c.pod_b) / tcp(62000, 443, SYN));
  add(eth() / ip(c.pod_r, c.pod_a) / udp(53, 62001) / payload(20));
  add(eth() / ip(c.outside, c.vip) / tcp(62000, 80, SYN));
  add(eth() / ip(c.outside, c.node) / tcp(62000, kNodePort, SYN));
  for (std::uint16_t port = 62000; port < 62004; ++port)
    add(eth(kMacUplink, kMacGateway) / ip(c.outside, c.vip_2) / tcp(port, 443, ACK));
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

void put16(Bytes& frame, std::size_t at, std::size_t value) {
  frame[at] = static_cast<std::uint8_t>(value >> 8);
  frame[at + 1] = static_cast<std::uint8_t>(value);
}

// Where the transport's checksum is; 0: it has none that we write.
std::size_t checksum_at(const Wire& wire) {
  const bool icmp = wire.proto == (wire.version == 4 ? 1 : 58);
  if (wire.fragment || (wire.proto != 6 && wire.proto != 17 && !icmp)) return 0;
  return wire.l4_at + (wire.proto == 6 ? 16 : wire.proto == 17 ? 6 : 2);
}

Bytes Fuzz::mended(Bytes frame) {
  auto wire = by_frame_length(frame);
  if (!wire) return frame;
  const bool v4 = wire->version == 4;
  put16(frame, v4 ? 16 : 18, frame.size() - (v4 ? 14 : 54));
  if (v4) {
    put16(frame, 18, upto(0xffff));
    put16(frame, 24, 0);
    const auto end = frame.begin() + static_cast<std::ptrdiff_t>(wire->l4_at);
    put16(frame, 24, checksum(Bytes(frame.begin() + 14, end)));
  }
  const std::size_t at = checksum_at(*wire);
  if (at == 0 || at + 2 > frame.size()) return frame;
  if (frame.size() >= at + 8) put16(frame, frame.size() - 2 - frame.size() % 2, upto(0xffff));
  put16(frame, at, 0);
  Bytes sum;
  if (wire->proto != 1) {
    for (const Address& end : {wire->ip_src, wire->ip_dst})
      sum.insert(sum.end(), end.wire().begin(), end.wire().end());
    const std::size_t length = frame.size() - wire->l4_at;
    const auto proto = static_cast<std::uint8_t>(wire->proto);
    sum.insert(sum.end(), {0, 0, static_cast<std::uint8_t>(length >> 8),
                           static_cast<std::uint8_t>(length), 0, 0, 0, proto});
  }
  sum.insert(sum.end(), frame.begin() + static_cast<std::ptrdiff_t>(wire->l4_at), frame.end());
  const std::uint16_t check = checksum(sum);
  put16(frame, at, check == 0 && wire->proto == 17 ? 0xffff : check);
  return frame;
}

// Drains the events: the last drop is this packet's.
std::string Fuzz::told(Way way, const Bytes& in) {
  int reason = 0;
  for (const weir_event& event : bed().drain()) {
    if (event.type == WEIR_EVENT_DROP) reason = event.reason;
  }
  return fmt::format("way {}, packet {}, last drop {}: {}\n  became {}\n  {:02x}",
                     static_cast<int>(way), packets_, reason, describe(in), describe(out_),
                     fmt::join(in, ""));
}

// What no stack sends: with a foreign source, or for a Service with a pod's, which from_pod keeps.
// The connections that it would open are in the way of real ones.
bool stack_would_send(const std::optional<Wire>& wire) {
  if (!wire) return true;
  const Cast& cast = cast_of(wire->version == 4 ? Family::kIpv4 : Family::kIpv6);
  return wire->ip_src == cast.node ||
         (cast.pods.contains(wire->ip_src) && !cast.services.contains(wire->ip_dst));
}

void Fuzz::check(Way way, const Bytes& in, const std::optional<Wire>& wire) {
  Arrival arrival;
  switch (way) {
    case Way::kFromPod:
      break;
    case Way::kToPod:
      arrival.hook = WEIR_HOOK_TO_POD;
      break;
    case Way::kFromNic:
      arrival = {.hook = WEIR_HOOK_FROM_NET, .ifindex = kUplink};
      break;
    case Way::kHandedOver:
      arrival.vni += WEIR_VNI_DSR;
      [[fallthrough]];
    case Way::kFromTunnel:
      arrival.hook = WEIR_HOOK_FROM_NET;
      arrival.ifindex = kTunnel;
      arrival.outer_source = cast().node_r;
      break;
    case Way::kToNic:
      arrival = {.hook = WEIR_HOOK_TO_NET, .ifindex = kUplink};
      break;
  }
  if (upto(7) == 0) {
    arrival.gso_segs = static_cast<std::uint32_t>(upto(40));
    arrival.gso_size = static_cast<std::uint32_t>(1 + upto(1500));
  }
  const bool gso = arrival.gso_size != 0;
  const int verdict = bed().run_fast(arrival, in, out_);
  ++packets_;
  if (gso) ++gso_;
  if (verdict < -900) {
    ++refused_;
    return;
  }
  ASSERT_TRUE(verdict == kNext || verdict == kDropped || verdict == kRedirect) << verdict;
  ++verdicts_.at(verdict == kNext ? 0 : verdict == kDropped ? 1 : 2);
  const Fate fate = fate_of(way, wire, in.size(), gso);
  if (fate != Fate::kAny) ++judged_;
  const auto after = verdict == kRedirect ? Wire::parse(out_) : std::nullopt;
  const bool answered = wire && after && is_answer(*wire, *after);
  const bool sent = verdict == kRedirect && !answered;
  if (fate == Fate::kPasses) {
    EXPECT_NE(verdict, kDropped) << "dropped: " << told(way, in);
  }
  if (fate == Fate::kStops) {
    EXPECT_TRUE(verdict == kDropped || answered) << "let through: " << told(way, in);
  }
  if (fate == Fate::kNotSent) {
    EXPECT_FALSE(sent) << "sent on: " << told(way, in);
  }
  if (verdict == kRedirect) {
    EXPECT_TRUE(sane(wire ? Wire::parse(in) : wire, out_, way == Way::kToNic)) << told(way, in);
  } else if (verdict == kNext) {
    EXPECT_TRUE(in == out_) << "rewritten, and not sent: " << told(way, in);
  }
  // What is dropped may be an answer already, which had no way back.
}

int Fuzz::run_xdp(const Bytes& in, Bytes& out) const {
  out.resize(in.size() + 128);
  xdp_md context{};
  context.data_end = static_cast<__u32>(in.size());
  context.ingress_ifindex = kUplink;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.data(), .data_out = out.data(),
              .data_size_in = static_cast<__u32>(in.size()),
              .data_size_out = static_cast<__u32>(out.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = 1);
  if (const int err = bpf_prog_test_run_opts(xdp_.get(), &options); err != 0) return err - 1000;
  out.resize(options.data_size_out);
  return static_cast<int>(options.retval);
}

// XDP sends on what it knows, else leaves the frame as it was; it drops nothing.
void Fuzz::check_xdp(const Bytes& in) {
  const int verdict = run_xdp(in, out_);
  ++packets_;
  if (verdict < -900) {
    ++refused_;
    return;
  }
  const auto text = [&] {
    return fmt::format("XDP: {}\n  became {}\n  {:02x}", describe(in), describe(out_),
                       fmt::join(in, ""));
  };
  if (verdict == XDP_PASS) {
    EXPECT_TRUE(in == out_) << "rewritten, and not sent: " << text();
    return;
  }
  ASSERT_EQ(verdict, XDP_TX) << text();
  ++by_xdp_;
  const Bytes before = unwrapped(in).value_or(in);
  const Bytes after = unwrapped(out_).value_or(out_);
  const auto wire = Wire::parse(before);
  ASSERT_TRUE(wire) << "unreadable, and sent on: " << text();
  EXPECT_TRUE(wire->ttl > 1 && !wire->fragment && (wire->proto == 6 || wire->proto == 17))
      << "not for XDP: " << text();
  EXPECT_TRUE(sane(wire, after, false)) << text();
  const auto outer = Wire::parse(out_);
  ASSERT_TRUE(outer) << text();
  EXPECT_TRUE(outer->ip_checksum_ok || !wire->ip_checksum_ok) << text();
  const bool to_node = outer->ip_dst == cast_of(Family::kIpv4).node_r ||
                       outer->ip_dst == cast_of(Family::kIpv6).node_r;
  const bool to_client =
      outer->ip_src == cast_of(Family::kIpv4).node || outer->ip_src == cast_of(Family::kIpv6).node;
  EXPECT_TRUE(to_node || to_client) << "to somebody else: " << text();
}

TEST_P(Fuzz, NoPacketIsJudgedOtherwiseThanByTheModel) {
  const auto end = Clock::now() + length();
  std::uint64_t mutants = 0;
  while (Clock::now() < end && !HasFailure()) {
    Bytes in = mutate(frames_[upto(frames_.size() - 1)]);
    if (upto(3) != 0) in = mended(std::move(in));
    const auto wire = by_frame_length(in);
    for (const Way way :
         {Way::kFromPod, Way::kToPod, Way::kFromNic, Way::kFromTunnel, Way::kHandedOver})
      check(way, in, wire);
    if (stack_would_send(wire)) check(Way::kToNic, in, wire);
    check_xdp(in);
    if (++mutants % 128 == 0) bed().drain();
    if (mutants % kFreshEvery == 0) refresh();
  }
  fmt::print(
      "seed {}: {} packets, {} of them GSO, {} refused by the kernel; {} to the stack, {} dropped, "
      "{} sent, {} by XDP; {} judged by the model\n",
      kSeed, packets_, gso_, refused_, verdicts_[0], verdicts_[1], verdicts_[2], by_xdp_, judged_);
  EXPECT_GT(verdicts_[2], 0u);
  EXPECT_GT(by_xdp_, 0u);
}

WEIR_BOTH_FAMILIES(Fuzz);

}  // namespace
}  // namespace weir::fuzz
