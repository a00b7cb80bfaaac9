#include "observe/frame.h"

#include <netinet/in.h>

#include <array>

namespace weir {
namespace {

constexpr std::size_t kEth = 14;

class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t size() const { return bytes_.size(); }
  std::uint8_t u8(std::size_t at) const { return std::to_integer<std::uint8_t>(bytes_[at]); }
  std::uint16_t u16(std::size_t at) const {
    return static_cast<std::uint16_t>(u8(at) << 8 | u8(at + 1));
  }
  Address v4(std::size_t at) const {
    return Address::v4(static_cast<std::uint32_t>(u16(at)) << 16 | u16(at + 2));
  }
  Address v6(std::size_t at) const {
    std::array<std::uint8_t, 16> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = u8(at + i);
    return Address::from_bytes(bytes);
  }

 private:
  std::span<const std::byte> bytes_;
};

void take_ports(const Bytes& bytes, std::size_t at, FrameTuple& tuple) {
  const bool has_ports = tuple.protocol == IPPROTO_TCP || tuple.protocol == IPPROTO_UDP ||
                         tuple.protocol == IPPROTO_SCTP;
  if (!has_ports || bytes.size() < at + 4) return;
  tuple.source_port = bytes.u16(at);
  tuple.destination_port = bytes.u16(at + 2);
}

FrameTuple parse_v4(const Bytes& bytes) {
  FrameTuple tuple{.source = bytes.v4(kEth + 12),
                   .destination = bytes.v4(kEth + 16),
                   .protocol = bytes.u8(kEth + 9)};
  const bool later_fragment = (bytes.u16(kEth + 6) & 0x1fff) != 0;
  const std::size_t header = 4U * (bytes.u8(kEth) & 0xfU);
  if (!later_fragment && header >= 20) take_ports(bytes, kEth + header, tuple);
  return tuple;
}

FrameTuple parse_v6(const Bytes& bytes) {
  FrameTuple tuple{.source = bytes.v6(kEth + 8),
                   .destination = bytes.v6(kEth + 24),
                   .protocol = bytes.u8(kEth + 6)};
  take_ports(bytes, kEth + 40, tuple);
  return tuple;
}

}  // namespace

std::optional<FrameTuple> parse_frame(std::span<const std::byte> frame) {
  const Bytes bytes(frame);
  if (bytes.size() < kEth + 20) return std::nullopt;
  const std::uint16_t type = bytes.u16(12);
  if (type == 0x0800) return parse_v4(bytes);
  if (type == 0x86dd && bytes.size() >= kEth + 40) return parse_v6(bytes);
  return std::nullopt;
}

}  // namespace weir
