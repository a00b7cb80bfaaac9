#include "fuzz_model.h"

namespace weir::fuzz {
namespace {

constexpr std::uint16_t kTunnelPort = 8472;

bool is_multicast(const Wire& wire) {
  const auto& bytes = wire.ip_dst.bytes();
  if (wire.version == 6) return bytes[0] == 0xff;
  return bytes[12] >> 4 == 14 || (bytes[12] & bytes[13] & bytes[14] & bytes[15]) == 255;
}

bool is_error(const Wire& wire) {
  if (wire.icmp_type < 0) return false;
  if (wire.version == 6) return wire.icmp_type < 128;
  for (const int type : {3, 4, 5, 11, 12}) {
    if (wire.icmp_type == type) return true;
  }
  return false;
}

bool is_mapped(const Wire& wire) {
  return wire.version == 6 && (wire.ip_src.is_v4() || wire.ip_dst.is_v4());
}

// Whole, with all of its transport header, behind no more headers than any program walks.
bool is_plain(const Wire& wire, std::size_t size) {
  const std::size_t need = wire.proto == 6 ? 20 : wire.proto == 132 ? 12 : 8;
  const std::size_t ip_header = wire.version == 4 ? 20 : 40;
  return !wire.fragment && !is_error(wire) && wire.l4_at + need <= size && wire.extensions <= 5 &&
         wire.l4_at <= 14 + ip_header + 200;
}

bool has_ports(const Wire& wire) { return wire.src_port && (wire.proto == 6 || wire.proto == 17); }

bool is_to(const Wire& wire, int proto, std::uint16_t port) {
  return wire.proto == proto && wire.dst_port == port;
}

const Cast& cast_of(const Wire& wire) {
  return weir::cast_of(wire.version == 4 ? Family::kIpv4 : Family::kIpv6);
}

// No Service's backend is meant, whose answers' tuple may be the same.
bool meets_no_backend(const Wire& wire) {
  const Cast& cast = cast_of(wire);
  const std::uint16_t port = wire.dst_port.value_or(0);
  if (wire.ip_dst == cast.pod_b) return port != 80 && port != 444;
  return wire.ip_dst != cast.pod_r || (port != 9 && port != 8080 && port != 444);
}

Fate to_service(const Wire& wire) {
  if (wire.ip_dst == cast_of(wire).vip_2) return Fate::kAny;
  if (wire.ip_dst != cast_of(wire).vip) return Fate::kNotSent;
  if (!is_to(wire, 6, 80)) return Fate::kStops;
  return wire.ttl > 1 ? Fate::kPasses : Fate::kStops;
}

Fate from_pod(const std::optional<Wire>& wire, std::size_t size) {
  if (!wire || is_mapped(*wire)) return Fate::kStops;
  const Cast& cast = cast_of(*wire);
  const Address& dst = wire->ip_dst;
  if (wire->ip_src != cast.pod_a || (is_multicast(*wire) && !is_error(*wire))) return Fate::kStops;
  if (!is_plain(*wire, size)) return is_multicast(*wire) ? Fate::kNotSent : Fate::kAny;
  const bool node = dst == cast.node || dst == cast.node_r;
  if (node && is_to(*wire, 17, kTunnelPort)) return Fate::kStops;
  if (node) return Fate::kPasses;
  if (cast.services.contains(dst)) return to_service(*wire);
  if (!meets_no_backend(*wire)) return Fate::kAny;
  if (dst == cast.pod_a || dst == cast.pod_b || cast.pods_r.contains(dst)) return Fate::kPasses;
  if (cast.pods.contains(dst)) return Fate::kNotSent;
  const bool translatable = has_ports(*wire) || wire->echo_id.value_or(0) != 0;
  return dst == cast.outside && translatable ? Fate::kPasses : Fate::kAny;
}

Fate to_pod(const std::optional<Wire>& wire) {
  if (!wire || is_mapped(*wire)) return Fate::kStops;
  const Cast& cast = cast_of(*wire);
  if (is_error(*wire)) return Fate::kNotSent;
  return wire->ip_dst == cast.pod_a ? Fate::kNotSent : Fate::kStops;
}

Fate from_nic(const std::optional<Wire>& wire, std::size_t size) {
  if (!wire || is_mapped(*wire)) return Fate::kNotSent;
  const Cast& cast = cast_of(*wire);
  if (cast.pods.contains(wire->ip_src) || cast.pods_r.contains(wire->ip_src)) return Fate::kNotSent;
  const bool meant = wire->ip_src == cast.outside && wire->ip_dst == cast.pod_b && wire->ttl > 1;
  const bool free = is_plain(*wire, size) && meets_no_backend(*wire);
  return meant && free ? Fate::kPasses : Fate::kAny;
}

Fate from_tunnel(const std::optional<Wire>& wire, std::size_t size) {
  if (!wire || is_mapped(*wire)) return Fate::kStops;
  const Cast& cast = cast_of(*wire);
  const bool behind = cast.pods_r.contains(wire->ip_src) || wire->ip_src == cast.node_r;
  if (!behind) return is_error(*wire) ? Fate::kAny : Fate::kStops;
  const bool free = is_plain(*wire, size) && meets_no_backend(*wire) && wire->ttl > 1;
  return wire->ip_dst == cast.pod_b && free ? Fate::kPasses : Fate::kAny;
}

Fate handed_over(const std::optional<Wire>& wire) {
  if (!wire || is_mapped(*wire)) return Fate::kStops;
  const Cast& cast = cast_of(*wire);
  const bool ours = cast.pods.contains(wire->ip_src) || wire->ip_src == cast.node;
  return ours && !is_error(*wire) ? Fate::kStops : Fate::kAny;
}

Fate to_nic(const std::optional<Wire>& wire) {
  if (!wire || is_mapped(*wire)) return Fate::kNotSent;
  const Cast& cast = cast_of(*wire);
  return wire->ip_dst == cast.vip || wire->ip_dst == cast.vip_2 ? Fate::kAny : Fate::kNotSent;
}

}  // namespace

Fate fate_of(Way way, const std::optional<Wire>& wire, std::size_t frame_size, bool gso) {
  const Fate fate = [&] {
    switch (way) {
      case Way::kFromPod:
        return from_pod(wire, frame_size);
      case Way::kToPod:
        return to_pod(wire);
      case Way::kFromNic:
        return from_nic(wire, frame_size);
      case Way::kFromTunnel:
        return from_tunnel(wire, frame_size);
      case Way::kHandedOver:
        return handed_over(wire);
      case Way::kToNic:
        return to_nic(wire);
    }
    return Fate::kAny;
  }();
  // Its segments may be too large for the way.
  return gso && fate == Fate::kPasses ? Fate::kAny : fate;
}

std::optional<Bytes> unwrapped(const Bytes& frame) {
  const auto wire = Wire::parse(frame);
  if (!wire || wire->proto != 17 || wire->dst_port != kTunnelPort) return std::nullopt;
  const std::size_t inner = wire->l4_at + 16;  // UDP, VXLAN
  if (frame.size() < inner + 14) return std::nullopt;
  return Bytes(frame.begin() + static_cast<std::ptrdiff_t>(inner), frame.end());
}

bool is_answer(const Wire& before, const Wire& after) {
  const bool error = after.icmp_type == (after.version == 4 ? 3 : 1) || after.icmp_type == 2;
  const bool reset = (after.tcp_flags & RST) != 0 && (before.tcp_flags & RST) == 0;
  return before.icmp_type < 0 && after.ip_src == before.ip_dst && after.ip_dst == before.ip_src &&
         (reset || error);
}

testing::AssertionResult sane(const std::optional<Wire>& before, const Bytes& out, bool from_host) {
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

}  // namespace weir::fuzz
