#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "harness/packet.h"

namespace weir {

// A frame as a receiver reads it. Shares no code with bpf/lib/parse.h.
struct Wire {
  Mac dst{}, src{};
  std::uint16_t ethertype = 0;
  Address ip_src, ip_dst;
  int version = 0;
  int ttl = 0;
  int proto = -1;         // of the transport
  std::size_t l4_at = 0;  // from the Ethernet header on
  int extensions = 0;     // IPv6 headers before it
  bool fragment = false;
  bool later_fragment = false;
  std::optional<std::uint16_t> src_port, dst_port;
  int tcp_flags = 0;
  int icmp_type = -1, icmp_code = -1;
  std::optional<std::uint16_t> echo_id;
  bool ip_checksum_ok = true;
  bool l4_checksum_ok = true;  // true where none is to be seen
  Bytes quoted;                // what an ICMP error quotes, from the IP header on

  // nullopt: not IP, or cut short before the transport's first 8 bytes.
  static std::optional<Wire> parse(std::span<const std::uint8_t> frame);
  // The packet quoted by an error; its transport is cut short, so its checksum is not judged.
  std::optional<Wire> parse_quote() const;
};

std::string describe(std::span<const std::uint8_t> frame);

// Byte for byte; says in words where they differ.
testing::AssertionResult same_packet(std::span<const std::uint8_t> got, const Packet& want);
testing::AssertionResult same_packet(std::span<const std::uint8_t> got, const Bytes& want);

}  // namespace weir
