// Layers -> bytes, from the innermost outwards.
#include "harness/packet.h"

#include <algorithm>
#include <cstddef>

namespace weir {
namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kFragment = 44, kIcmp6 = 58, kNone = 59,
                       kSctp = 132;

template <typename... F>
struct Match : F... {
  using F::operator()...;
};

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}
void put(Bytes& out, const auto& bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void set16(Bytes& out, std::size_t at, std::uint16_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8);
  out[at + 1] = static_cast<std::uint8_t>(value);
}

// What is being built: the bytes of the layers behind, and the protocol number of the first of
// them.
struct Build {
  Bytes bytes;
  std::uint8_t proto = kNone;
};

std::uint16_t l4_checksum(const Ip& ip, std::uint8_t proto, const Bytes& segment) {
  Bytes pseudo;
  put(pseudo, ip.src.wire());
  put(pseudo, ip.dst.wire());
  put32(pseudo, static_cast<std::uint32_t>(segment.size()));
  put32(pseudo, proto);
  put(pseudo, segment);
  return checksum(pseudo);
}

void prepend(Build& build, Bytes header, std::uint8_t proto) {
  put(header, build.bytes);
  build.bytes = std::move(header);
  build.proto = proto;
}

void build_tcp(Build& build, const Tcp& tcp, const Ip& ip) {
  Bytes h;
  put16(h, tcp.src_port);
  put16(h, tcp.dst_port);
  put32(h, 1000);
  put32(h, 2000);
  h.push_back(static_cast<std::uint8_t>((20 + tcp.options.size()) / 4 << 4));
  h.push_back(tcp.flags);
  put16(h, 65000);
  put32(h, 0);
  put(h, tcp.options);
  prepend(build, std::move(h), kTcp);
  set16(build.bytes, 16, l4_checksum(ip, kTcp, build.bytes));
}

void build_udp(Build& build, const Udp& udp, const Ip& ip) {
  Bytes h;
  put16(h, udp.src_port);
  put16(h, udp.dst_port);
  put16(h, build.bytes.size() + 8);
  put16(h, 0);
  prepend(build, std::move(h), kUdp);
  if (!udp.checksum) return;
  const std::uint16_t sum = l4_checksum(ip, kUdp, build.bytes);
  set16(build.bytes, 6, sum == 0 ? 0xffff : sum);
}

// Castagnoli's polynomial, bit by bit.
std::uint32_t crc32c(const Bytes& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}

void build_sctp(Build& build, const Sctp& sctp) {
  Bytes h;
  put16(h, sctp.src_port);
  put16(h, sctp.dst_port);
  put32(h, 0x12345678);
  put32(h, 0);
  prepend(build, std::move(h), kSctp);
  const std::uint32_t crc = crc32c(build.bytes);  // its bytes travel in the order of a PC's
  for (std::size_t i = 0; i < 4; ++i)
    build.bytes[8 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
}

void build_icmp(Build& build, const IcmpHeader& icmp, const Ip& ip) {
  const bool v4 = ip.src.is_v4();
  Bytes h = {icmp.type, icmp.code, 0, 0};
  put32(h, icmp.rest);
  prepend(build, std::move(h), v4 ? kIcmp : kIcmp6);
  set16(build.bytes, 2, v4 ? checksum(build.bytes) : l4_checksum(ip, kIcmp6, build.bytes));
}

void build_echo(Build& build, const Echo& echo, const Ip& ip) {
  const auto type = ip.src.is_v4() ? (echo.request ? 8 : 0) : (echo.request ? 128 : 129);
  build_icmp(build,
             {static_cast<std::uint8_t>(type), 0,
              static_cast<std::uint32_t>(echo.id) << 16 | echo.sequence},
             ip);
}

void build_extension(Build& build, const Extension& extension) {
  const std::size_t size = extension.body.size() + 2;
  const std::size_t length = extension.type == 51 ? size / 4 - 2 : size / 8 - 1;
  Bytes h = {build.proto, static_cast<std::uint8_t>(length)};
  put(h, extension.body);
  prepend(build, std::move(h), extension.type);
}

void build_fragment(Build& build, const FragmentHeader& fragment) {
  Bytes h = {build.proto, 0};
  put16(h, fragment.offset | (fragment.more ? 1 : 0));
  put32(h, fragment.id);
  prepend(build, std::move(h), kFragment);
}

void build_ip(Build& build, const Ip& ip) {
  Bytes h;
  const std::uint8_t proto = ip.proto.value_or(build.proto);
  if (ip.src.is_v4()) {
    h.push_back(static_cast<std::uint8_t>(0x45 + ip.options.size() / 4));
    h.push_back(0);
    put16(h, 20 + ip.options.size() + build.bytes.size());
    put16(h, ip.id);
    put16(h, static_cast<std::size_t>(ip.offset / 8) | (ip.more ? 0x2000U : 0U) |
                 (ip.dont_fragment ? 0x4000U : 0U));
    h.push_back(ip.hops);
    h.push_back(proto);
    put16(h, 0);
    put(h, ip.src.wire());
    put(h, ip.dst.wire());
    put(h, ip.options);
    set16(h, 10, checksum(h));
  } else {
    put32(h, 0x60000000);
    put16(h, build.bytes.size());
    h.push_back(proto);
    h.push_back(ip.hops);
    put(h, ip.src.bytes());
    put(h, ip.dst.bytes());
  }
  prepend(build, std::move(h), proto);
}

void build_eth(Build& build, const Eth& eth) {
  const std::uint16_t guessed = !build.bytes.empty() && build.bytes[0] >> 4 == 4 ? 0x0800 : 0x86dd;
  Bytes h;
  put(h, eth.dst);
  put(h, eth.src);
  put16(h, eth.type.value_or(guessed));
  prepend(build, std::move(h), 0);
}

const Ip& ip_before(const Packet& packet, std::size_t index) {
  static const Ip none{};
  while (index-- > 0) {
    if (const Ip* found = std::get_if<Ip>(&packet.layers[index])) return *found;
  }
  return none;
}

}  // namespace

std::uint16_t checksum(const Bytes& bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint64_t>(bytes[i]) << 8 : bytes[i];
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Bytes Packet::bytes() const {
  Build build;
  for (std::size_t i = layers.size(); i-- > 0;) {
    const Ip& ip = ip_before(*this, i);
    std::visit(
        Match{[&](const Eth& l) { build_eth(build, l); }, [&](const Ip& l) { build_ip(build, l); },
              [&](const Extension& l) { build_extension(build, l); },
              [&](const FragmentHeader& l) { build_fragment(build, l); },
              [&](const Tcp& l) { build_tcp(build, l, ip); },
              [&](const Udp& l) { build_udp(build, l, ip); },
              [&](const Sctp& l) { build_sctp(build, l); },
              [&](const Echo& l) { build_echo(build, l, ip); },
              [&](const IcmpHeader& l) { build_icmp(build, l, ip); },
              [&](const Payload& l) { prepend(build, l.bytes, kNone); }},
        layers[i]);
  }
  return build.bytes;
}

Payload payload(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>('a' + i % 26);
  return {bytes};
}

IcmpHeader time_exceeded(Family family) {
  return family == Family::kIpv4 ? IcmpHeader{11, 0} : IcmpHeader{3, 0};
}
IcmpHeader port_unreachable(Family family) {
  return family == Family::kIpv4 ? IcmpHeader{3, 3} : IcmpHeader{1, 4};
}
IcmpHeader too_big(Family family, std::uint32_t mtu) {
  return family == Family::kIpv4 ? IcmpHeader{3, 4, mtu} : IcmpHeader{2, 0, mtu};
}

Payload quote(const Packet& packet, std::size_t bytes_behind_ip) {
  const Bytes all = packet.bytes();
  const std::size_t ip_header = all[14] >> 4 == 4 ? 20 : 40;
  const std::size_t end = std::min(all.size(), 14 + ip_header + bytes_behind_ip);
  return {Bytes(all.begin() + 14, all.begin() + static_cast<std::ptrdiff_t>(end))};
}

std::vector<Bytes> fragments(const Packet& packet, std::uint32_t id, std::size_t first,
                             std::size_t others) {
  const auto& link = std::get<Eth>(packet.layers.at(0));
  const auto& head = std::get<Ip>(packet.layers.at(1));
  const Bytes all = packet.bytes();
  const std::size_t header = head.src.is_v4() ? 20 : 40;
  const std::uint8_t proto = head.src.is_v4() ? all[14 + 9] : all[14 + 6];
  const Bytes datagram(all.begin() + 14 + static_cast<std::ptrdiff_t>(header), all.end());
  std::vector<Bytes> out;
  for (std::size_t at = 0; at < datagram.size();) {
    const std::size_t size = std::min(at == 0 ? first : others, datagram.size() - at);
    const auto begin = datagram.begin() + static_cast<std::ptrdiff_t>(at);
    const Payload piece{Bytes(begin, begin + static_cast<std::ptrdiff_t>(size))};
    const bool more = at + size < datagram.size();
    const auto offset = static_cast<std::uint16_t>(at);
    Ip part = head;
    Packet made = Packet{{link}};
    if (head.src.is_v4()) {
      part.proto = proto;
      part.id = static_cast<std::uint16_t>(id);
      part.offset = offset;
      part.more = more;
      made = made / part / piece;
    } else {
      Bytes rest = {proto, 0, static_cast<std::uint8_t>(offset >> 8),
                    static_cast<std::uint8_t>((offset & 0xff) | (more ? 1 : 0))};
      put32(rest, id);
      put(rest, piece.bytes);
      part.proto = kFragment;
      made = made / part / Payload{rest};
    }
    out.push_back(made.bytes());
    at += size;
  }
  return out;
}

}  // namespace weir
