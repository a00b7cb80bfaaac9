#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

// An IPv4 or IPv6 address, 16 bytes in network order; IPv4 is stored v4-mapped (::ffff:a.b.c.d), as
// in abi/addr.h.
class Address {
 public:
  Address() = default;
  static Address from_bytes(const std::array<std::uint8_t, 16>& bytes);
  static Address v4(std::uint32_t host_order);
  static Result<Address> parse(std::string_view text);

  Family family() const;
  bool is_v4() const { return family() == Family::kIpv4; }
  bool is_zero() const { return *this == Address(); }
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  // The bytes on the wire: 4 for IPv4, 16 for IPv6.
  std::string_view wire() const;
  // This address plus n, as a number.
  Address plus(std::uint64_t n) const;
  std::string to_string() const;

  friend auto operator<=>(const Address&, const Address&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

// A prefix of addresses; host bits are zero.
class Cidr {
 public:
  Cidr() = default;
  // bits counts in the address's own family (0..32 or 0..128). Host bits are cleared.
  Cidr(const Address& address, int bits);
  // "10.0.0.0/16", "fd00::/64"; a bare address is a full-length prefix.
  static Result<Cidr> parse(std::string_view text);

  const Address& address() const { return address_; }
  int bits() const { return bits_; }
  // Length in the 128-bit v4-mapped space, as LPM keys in abi/route.h want it.
  int mapped_bits() const { return address_.is_v4() ? bits_ + 96 : bits_; }
  Family family() const { return address_.family(); }
  bool contains(const Address& address) const;
  // Number of addresses, saturated at 2^63.
  std::uint64_t size() const;
  std::string to_string() const;

  friend auto operator<=>(const Cidr&, const Cidr&) = default;

 private:
  Address address_;
  int bits_ = 0;
};

}  // namespace weir

template <>
struct std::hash<weir::Address> {
  std::size_t operator()(const weir::Address& a) const noexcept {
    return std::hash<std::string_view>()(
        std::string_view(reinterpret_cast<const char*>(a.bytes().data()), a.bytes().size()));
  }
};
