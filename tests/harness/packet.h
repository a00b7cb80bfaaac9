#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/address.h"
#include "harness/cast.h"

// Packets that read as packets: eth() / ip(pod_a, pod_b) / tcp(40000, 80, SYN). Lengths,
// next-protocol fields and checksums are filled in by bytes(). Shares no code with bpf/.
namespace weir {

using Bytes = std::vector<std::uint8_t>;

enum TcpFlag : std::uint8_t { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct Packet;

struct Eth {
  Mac dst = kMacLink;
  Mac src = kMacA;
  std::optional<std::uint16_t> type = {};  // else from the next layer
};

struct Ip {
  Address src, dst;
  std::uint8_t hops = 64;
  std::optional<std::uint8_t> proto = {};  // else from the next layer
  std::uint16_t id = 0;
  bool more = false;         // IPv4: fragment fields
  std::uint16_t offset = 0;  // bytes
  bool dont_fragment = false;
  Bytes options = {};  // IPv4, a multiple of 4

  Ip ttl(std::uint8_t value) const {
    Ip copy = *this;
    copy.hops = value;
    return copy;
  }
};

// An IPv6 extension header: everything behind its next-header and length bytes. AH counts
// otherwise.
struct Extension {
  std::uint8_t type;
  Bytes body;  // 8n + 6 bytes (AH: 4n + 6)
};

struct FragmentHeader {
  std::uint32_t id;
  std::uint16_t offset;
  bool more;
};

struct Tcp {
  std::uint16_t src_port, dst_port;
  std::uint8_t flags;
  Bytes options = {};
};

struct Udp {
  std::uint16_t src_port, dst_port;
  bool checksum = true;
};

struct Sctp {
  std::uint16_t src_port, dst_port;
};

struct Echo {
  bool request;
  std::uint16_t id, sequence;
};

// ICMP or ICMPv6 by the family of the IP header before it; behind it comes what is quoted.
struct IcmpHeader {
  std::uint8_t type, code;
  std::uint32_t rest = 0;
};

struct Payload {
  Bytes bytes;
};

using Layer =
    std::variant<Eth, Ip, Extension, FragmentHeader, Tcp, Udp, Sctp, Echo, IcmpHeader, Payload>;

struct Packet {
  std::vector<Layer> layers;

  Bytes bytes() const;
};

template <typename L>
  requires std::constructible_from<Layer, L>
Packet operator/(Packet packet, L layer) {
  packet.layers.emplace_back(std::move(layer));
  return packet;
}

inline Packet eth(Mac dst = kMacLink, Mac src = kMacA) { return Packet{{Eth{dst, src, {}}}}; }
inline Ip ip(Address src, Address dst) { return Ip{.src = src, .dst = dst}; }
inline Tcp tcp(std::uint16_t src_port, std::uint16_t dst_port, int flags) {
  return Tcp{src_port, dst_port, static_cast<std::uint8_t>(flags), {}};
}
inline Udp udp(std::uint16_t src_port, std::uint16_t dst_port) { return Udp{src_port, dst_port}; }
inline Sctp sctp(std::uint16_t src_port, std::uint16_t dst_port) {
  return Sctp{src_port, dst_port};
}
inline Echo ping(std::uint16_t id, std::uint16_t sequence = 1) { return Echo{true, id, sequence}; }
inline Echo pong(std::uint16_t id, std::uint16_t sequence = 1) { return Echo{false, id, sequence}; }
Payload payload(std::size_t size);

// The errors of either family.
IcmpHeader time_exceeded(Family family);
IcmpHeader port_unreachable(Family family);
IcmpHeader too_big(Family family, std::uint32_t mtu);

// The first bytes of what follows the Ethernet header, as an error quotes them.
Payload quote(const Packet& packet, std::size_t bytes_behind_ip = 8);

// Cuts the datagram behind the IP header into pieces, the first of `first` bytes (a multiple of 8).
std::vector<Bytes> fragments(const Packet& packet, std::uint32_t id, std::size_t first,
                             std::size_t others = 1 << 15);

// One's complement sum, folded and inverted.
std::uint16_t checksum(const Bytes& bytes);

}  // namespace weir
