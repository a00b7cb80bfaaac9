#include "harness/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace weir {
namespace {

using View = std::span<const std::uint8_t>;

std::uint16_t get16(View bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

Address get_address(View bytes, std::size_t at, bool v4) {
  std::array<std::uint8_t, 16> out{};
  if (v4) out[10] = out[11] = 0xff;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), v4 ? 4 : 16,
              out.begin() + (v4 ? 12 : 0));
  return Address::from_bytes(out);
}

// 0xffff when the sum over bytes that include a checksum is right.
std::uint16_t ones_sum(View bytes, std::uint64_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint64_t>(bytes[i]) << 8 : bytes[i];
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

std::uint64_t pseudo_sum(const Wire& wire, std::size_t length) {
  const std::string both = std::string(wire.ip_src.wire()) + std::string(wire.ip_dst.wire());
  const View bytes(reinterpret_cast<const std::uint8_t*>(both.data()), both.size());
  return static_cast<std::uint64_t>(ones_sum(bytes)) + length + static_cast<unsigned>(wire.proto);
}

bool l4_sum_ok(const Wire& wire, View segment) {
  if (wire.proto == 1) return ones_sum(segment) == 0xffff;
  if (wire.proto == 17 && wire.version == 4 && get16(segment, 6) == 0) return true;
  return ones_sum(segment, pseudo_sum(wire, segment.size())) == 0xffff;
}

bool read_l4(Wire& wire, View packet, std::size_t end, bool judge) {
  const bool tcp = wire.proto == 6;
  const bool udp = wire.proto == 17;
  const bool icmp = wire.proto == (wire.version == 4 ? 1 : 58);
  if (wire.later_fragment || (!tcp && !udp && !icmp)) return true;
  if (end < wire.l4_at + 8) return false;
  const View segment = packet.subspan(wire.l4_at, end - wire.l4_at);
  if (judge && !wire.fragment) wire.l4_checksum_ok = l4_sum_ok(wire, segment);
  if (icmp) {
    wire.icmp_type = segment[0];
    wire.icmp_code = segment[1];
    const bool echo = wire.version == 4 ? (segment[0] == 8 || segment[0] == 0)
                                        : (segment[0] == 128 || segment[0] == 129);
    if (echo) wire.echo_id = get16(segment, 4);
    if (!echo) wire.quoted.assign(segment.begin() + 8, segment.end());
    return true;
  }
  wire.src_port = get16(segment, 0);
  wire.dst_port = get16(segment, 2);
  if (tcp && segment.size() >= 14) wire.tcp_flags = segment[13];
  return true;
}

bool read_v4(Wire& wire, View packet, bool judge) {
  if (packet.size() < 34 || packet[14] >> 4 != 4) return false;
  const std::size_t header = (packet[14] & 0xfU) * 4U;
  if (header < 20 || packet.size() < 14 + header) return false;
  wire.version = 4;
  wire.ttl = packet[22];
  wire.proto = packet[23];
  wire.ip_src = get_address(packet, 26, true);
  wire.ip_dst = get_address(packet, 30, true);
  wire.ip_checksum_ok = ones_sum(packet.subspan(14, header)) == 0xffff;
  const std::uint16_t fragment = get16(packet, 20);
  wire.fragment = (fragment & 0x3fff) != 0;
  wire.later_fragment = (fragment & 0x1fff) != 0;
  wire.l4_at = 14 + header;
  const std::size_t end = std::min<std::size_t>(packet.size(), 14U + get16(packet, 16));
  return read_l4(wire, packet, judge ? end : packet.size(), judge);
}

bool read_v6(Wire& wire, View packet, bool judge) {
  if (packet.size() < 54 || packet[14] >> 4 != 6) return false;
  wire.version = 6;
  wire.ttl = packet[21];
  wire.ip_src = get_address(packet, 22, false);
  wire.ip_dst = get_address(packet, 38, false);
  int next = packet[20];
  std::size_t at = 54;
  const std::size_t end = std::min<std::size_t>(packet.size(), 54U + get16(packet, 18));
  while (next == 0 || next == 43 || next == 44 || next == 51 || next == 60) {
    if (packet.size() < at + 8) return false;
    const int header = next;
    next = packet[at];
    ++wire.extensions;
    if (header == 44) {
      wire.fragment = wire.fragment || (get16(packet, at + 2) & 0xfff9) != 0;
      wire.later_fragment = (get16(packet, at + 2) & 0xfff8) != 0;
    }
    at += header == 44   ? 8U
          : header == 51 ? (packet[at + 1] + 2U) * 4U
                         : (packet[at + 1] + 1U) * 8U;
    if (wire.later_fragment) break;
  }
  wire.proto = next;
  wire.l4_at = at;
  return read_l4(wire, packet, judge ? end : packet.size(), judge);
}

std::optional<Wire> read(View frame, bool judge) {
  Wire wire;
  if (frame.size() < 14) return std::nullopt;
  std::copy_n(frame.begin(), 6, wire.dst.begin());
  std::copy_n(frame.begin() + 6, 6, wire.src.begin());
  wire.ethertype = get16(frame, 12);
  const bool read = wire.ethertype == 0x0800   ? read_v4(wire, frame, judge)
                    : wire.ethertype == 0x86dd ? read_v6(wire, frame, judge)
                                               : false;
  if (!read) return std::nullopt;
  return wire;
}

}  // namespace

std::optional<Wire> Wire::parse(View frame) { return read(frame, true); }

std::optional<Wire> Wire::parse_quote() const {
  Bytes frame(14);
  const std::uint16_t type = version == 4 ? 0x0800 : 0x86dd;
  frame[12] = static_cast<std::uint8_t>(type >> 8);
  frame[13] = static_cast<std::uint8_t>(type & 0xff);
  frame.insert(frame.end(), quoted.begin(), quoted.end());
  return read(frame, false);
}

std::string describe(View frame) {
  const auto wire = Wire::parse(frame);
  std::string text =
      fmt::format("[{} bytes] {:02x} > {:02x}", frame.size(), fmt::join(frame.subspan(6, 6), ":"),
                  fmt::join(frame.subspan(0, 6), ":"));
  if (!wire) return text + " unreadable";
  text += fmt::format(" {}:{} > {}:{} proto {} ttl {}", wire->ip_src.to_string(),
                      wire->src_port.value_or(wire->echo_id.value_or(0)), wire->ip_dst.to_string(),
                      wire->dst_port.value_or(wire->echo_id.value_or(0)), wire->proto, wire->ttl);
  if (wire->icmp_type >= 0) text += fmt::format(" icmp {}/{}", wire->icmp_type, wire->icmp_code);
  if (wire->tcp_flags != 0) text += fmt::format(" flags {:#x}", wire->tcp_flags);
  if (!wire->ip_checksum_ok) text += " BAD IP CHECKSUM";
  if (!wire->l4_checksum_ok) text += " BAD CHECKSUM";
  return text;
}

testing::AssertionResult same_packet(View got, const Packet& want) {
  return same_packet(got, want.bytes());
}

testing::AssertionResult same_packet(View got, const Bytes& want) {
  if (got.size() == want.size() && std::memcmp(got.data(), want.data(), got.size()) == 0) {
    return testing::AssertionSuccess();
  }
  const auto differs = std::mismatch(got.begin(), got.end(), want.begin(), want.end()).first;
  return testing::AssertionFailure()
         << "\n  got  " << describe(got) << "\n  want " << describe(want)
         << "\n  first difference at byte " << differs - got.begin();
}

}  // namespace weir
