#include "state/entries.h"

#include <fmt/format.h>

namespace weir {
namespace {

std::string_view kind_text(std::uint8_t kind) {
  switch (kind) {
    case WEIR_ROUTE_OUTSIDE:
      return "outside";
    case WEIR_ROUTE_LOCAL_PODS:
      return "local-pods";
    case WEIR_ROUTE_HOST:
      return "host";
    case WEIR_ROUTE_PODS:
      return "pods";
    case WEIR_ROUTE_NODE:
      return "node";
    default:
      return "?";
  }
}

std::string mtu_text(std::uint32_t mtu) { return mtu == 0 ? "" : fmt::format(" mtu={}", mtu); }

std::string version_text(std::uint32_t version) {
  return version == 0 ? std::string() : fmt::format(" version={}", version);
}

template <typename Map>
void add_lines(std::vector<std::string>& lines, std::string_view map, const Map& entries) {
  for (const auto& [key, value] : entries) {
    lines.push_back(fmt::format("{} {} {}", map, key.to_string(), to_string(value)));
  }
}

}  // namespace

weir_addr to_abi(const Address& address) {
  weir_addr out{};
  std::memcpy(out.word, address.bytes().data(), sizeof out.word);
  return out;
}

Address from_abi(const weir_addr& address) {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), address.word, bytes.size());
  return Address::from_bytes(bytes);
}

weir_route_key to_abi(const Cidr& cidr) {
  return {.prefixlen = static_cast<std::uint32_t>(cidr.mapped_bits()),
          .addr = to_abi(cidr.address())};
}

Cidr from_abi(const weir_route_key& key) {
  const Address address = from_abi(key.addr);
  const int bits = static_cast<int>(key.prefixlen);
  return {address, address.is_v4() ? bits - 96 : bits};
}

std::string to_string(const weir_endpoint& endpoint) {
  const auto& mac = endpoint.mac;
  return fmt::format(
      "handle={} ifindex={} mac={:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x} ingress={} egress={}{}{}",
      endpoint.handle, endpoint.ifindex, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
      endpoint.ingress_rules, endpoint.egress_rules, endpoint.queued != 0 ? " queued" : "",
      version_text(endpoint.version));
}

std::string to_string(const weir_route& route) {
  const Address node = from_abi(route.node_addr);
  return fmt::format("kind={} node_addr={} node={:08x}{}{}", kind_text(route.kind),
                     node.is_zero() ? "none" : node.to_string(), route.node,
                     (route.flags & WEIR_ROUTE_KEEP_SOURCE) != 0 ? " keep-source" : "",
                     mtu_text(route.mtu) + version_text(route.version));
}

std::string to_string(const NodeRoute& route) {
  return fmt::format("via={} node={}{}",
                     route.via == NodeRoute::Via::kTunnel ? "tunnel" : "next-hop",
                     route.node.to_string(), mtu_text(route.mtu));
}

std::string to_string(const weir_netns& netns) {
  const auto text = [](const weir_addr& address) {
    const Address one = from_abi(address);
    return one.is_zero() ? "none" : one.to_string();
  };
  return fmt::format("v4={} v6={}", text(netns.v4), text(netns.v6));
}

std::vector<std::string> to_lines(const Entries& entries) {
  std::vector<std::string> lines;
  add_lines(lines, "weir_endpoint", entries.endpoints);
  add_lines(lines, "weir_route", entries.routes);
  add_lines(lines, "kernel_route", entries.kernel_routes);
  for (const auto& [cookie, netns] : entries.netns) {
    lines.push_back(fmt::format("weir_netns {} {}", cookie, to_string(netns)));
  }
  return lines;
}

}  // namespace weir
