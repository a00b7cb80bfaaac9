#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace weir {
namespace {

constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::array<std::uint8_t, 16> clear_host_bits(std::array<std::uint8_t, 16> bytes, int bits) {
  for (int i = 0; i < 16; ++i) {
    const int keep = std::clamp(bits - 8 * i, 0, 8);
    bytes[static_cast<std::size_t>(i)] &= static_cast<std::uint8_t>(0xff00 >> keep);
  }
  return bytes;
}

}  // namespace

Address Address::from_bytes(const std::array<std::uint8_t, 16>& bytes) {
  Address a;
  a.bytes_ = bytes;
  return a;
}

Address Address::v4(std::uint32_t host_order) {
  Address a;
  std::copy(kMapped.begin(), kMapped.end(), a.bytes_.begin());
  const std::uint32_t be = htonl(host_order);
  std::memcpy(&a.bytes_[12], &be, 4);
  return a;
}

Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text);
  Address a;
  in_addr v4_addr{};
  if (inet_pton(AF_INET, copy.c_str(), &v4_addr) == 1) return v4(ntohl(v4_addr.s_addr));
  if (inet_pton(AF_INET6, copy.c_str(), a.bytes_.data()) == 1) return a;
  return Error(Code::kInvalid, fmt::format("'{}' is not an IPv4 or IPv6 address", text));
}

Family Address::family() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin()) ? Family::kIpv4 : Family::kIpv6;
}

std::string_view Address::wire() const {
  const auto* begin = reinterpret_cast<const char*>(bytes_.data());
  return is_v4() ? std::string_view(begin + 12, 4) : std::string_view(begin, 16);
}

Address Address::plus(std::uint64_t n) const {
  Address a = *this;
  for (std::size_t i = 16; i-- > 0 && n != 0;) {
    n += a.bytes_[i];
    a.bytes_[i] = static_cast<std::uint8_t>(n & 0xff);
    n >>= 8;
  }
  return a;
}

std::string Address::to_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (is_v4()) {
    inet_ntop(AF_INET, &bytes_[12], text, sizeof text);
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
  }
  return text;
}

Cidr::Cidr(const Address& address, int bits) : bits_(bits) {
  const int mapped = address.is_v4() ? bits + 96 : bits;
  address_ = Address::from_bytes(clear_host_bits(address.bytes(), mapped));
}

Result<Cidr> Cidr::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = Address::parse(text.substr(0, slash));
  if (!address) return Error(Code::kInvalid, fmt::format("'{}' is not a CIDR", text));
  const int full = address->is_v4() ? 32 : 128;
  if (slash == std::string_view::npos) return Cidr(*address, full);
  const auto digits = text.substr(slash + 1);
  int bits = -1;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (ec != std::errc() || end != digits.data() + digits.size() || bits < 0 || bits > full) {
    return Error(Code::kInvalid,
                 fmt::format("'{}' is not a CIDR: the length is 0 to {}", text, full));
  }
  return Cidr(*address, bits);
}

bool Cidr::contains(const Address& address) const {
  return address.family() == family() && Cidr(address, bits_).address_ == address_;
}

std::uint64_t Cidr::size() const {
  const int host_bits = (address_.is_v4() ? 32 : 128) - bits_;
  return std::uint64_t{1} << std::min(host_bits, 63);
}

std::string Cidr::to_string() const { return fmt::format("{}/{}", address_.to_string(), bits_); }

}  // namespace weir
