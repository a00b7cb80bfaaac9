#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "abi/endpoint.h"
#include "abi/route.h"
#include "abi/service.h"
#include "base/address.h"

// Layouts of abi/ have no padding (WEIR_LAYOUT), so equal bytes are equal values.
inline bool operator==(const weir_endpoint& a, const weir_endpoint& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}
inline bool operator==(const weir_route& a, const weir_route& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}
inline bool operator==(const weir_netns& a, const weir_netns& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

namespace weir {

weir_addr to_abi(const Address& address);
Address from_abi(const weir_addr& address);
weir_route_key to_abi(const Cidr& cidr);
Cidr from_abi(const weir_route_key& key);

// A route that belongs in the kernel's own table, so that the host's stack knows the way to pods of
// other nodes.
struct NodeRoute {
  enum class Via : std::uint8_t { kTunnel, kNextHop };
  Via via = Via::kTunnel;
  Address node;           // tunnel end or next hop
  std::uint32_t mtu = 0;  // 0: the link's

  friend bool operator==(const NodeRoute&, const NodeRoute&) = default;
};

// The desired content of the kernel's tables. `version` is always 0: dataplane assigns versions.
struct Entries {
  std::map<Address, weir_endpoint> endpoints;
  std::map<Cidr, weir_route> routes;
  std::map<Cidr, NodeRoute> kernel_routes;
  std::map<std::uint64_t, weir_netns> netns;  // by the namespace's cookie

  friend bool operator==(const Entries&, const Entries&) = default;
};

// One entry as "field=value ..." in a fixed order; versions are printed only when they are not 0.
std::string to_string(const weir_endpoint& endpoint);
std::string to_string(const weir_route& route);
std::string to_string(const NodeRoute& route);
std::string to_string(const weir_netns& netns);

// All entries, one line each: "<map> <key> <fields>". Map names: weir_endpoint, weir_route,
// kernel_route, weir_netns.
std::vector<std::string> to_lines(const Entries& entries);

}  // namespace weir
