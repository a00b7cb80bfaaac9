#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "sys/netlink.h"

namespace weir {

using LinkAddress = std::array<std::uint8_t, 6>;

// Numbers under which Weir's routes are known to the kernel (rtm_protocol).
inline constexpr std::uint8_t kNodeRouteProtocol = 87;  // to other nodes' pods
inline constexpr std::uint8_t kPodRouteProtocol = 88;   // to this node's pods

// Bytes of the largest packet that a link takes at once, to be cut up behind it: of links that
// nobody has told otherwise. More is BIG TCP.
inline constexpr std::uint32_t kLegacyGsoSize = 65536;

struct VethEnd {
  std::string name;
  std::uint32_t index = 0;  // 0: the kernel chooses; a peer may have one only if the other end has
  LinkAddress address{};
};

// Requests to add to a batch. Each names itself in errors.
namespace request {

// Both ends are made down; `peer` appears in the namespace of `peer_netns` at once.
void add_veth(Batch& batch, const VethEnd& end, const VethEnd& peer, int peer_netns,
              std::uint32_t mtu, std::uint32_t gso_max_size = kLegacyGsoSize);
// Of both families, sending and receiving.
void set_gso_size(Batch& batch, std::uint32_t index, std::uint32_t gso_max_size);
void set_up(Batch& batch, std::uint32_t index);
// A link by its index; unknown is success.
void delete_link(Batch& batch, std::uint32_t index);
// IPv6: no link-local address of its own. Comes before set_up.
void no_link_local(Batch& batch, std::uint32_t index);
// IPv4: routes packets, whatever their source. (IPv6 routes by the namespace's setting.)
void forward_v4(Batch& batch, std::uint32_t index);

// A full-length address: usable at once (no duplicate address detection), without a prefix route.
void add_address(Batch& batch, std::uint32_t index, const Address& address);
void add_permanent_neighbour(Batch& batch, std::uint32_t index, const Address& address,
                             const LinkAddress& link_address);

struct Route {
  Cidr destination;
  std::uint32_t index = 0;
  std::optional<Address> via = std::nullopt;
  bool onlink = false;  // `via` needs no route of its own
  std::uint32_t mtu = 0;
  std::optional<Address> source = std::nullopt;
  std::uint8_t protocol = kPodRouteProtocol;

  friend bool operator==(const Route&, const Route&) = default;
};
void replace_route(Batch& batch, const Route& route);
// One to the same destination that is there already stays, and is success.
void add_route(Batch& batch, const Route& route);
void delete_route(Batch& batch, const Route& route);

}  // namespace request

struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::string kind;  // "veth", "vxlan", empty for hardware
  LinkAddress address{};
  std::uint32_t mtu = 0;
  std::uint32_t gso_max_size = kLegacyGsoSize;  // what both families may send at once
  std::uint32_t tso_max_size = 0;               // what its driver could take; 0: unknown
  bool up = false;
  std::uint32_t master = 0;      // index of the bridge or bond that it is a port of
  std::uint32_t peer_index = 0;  // veth: of the peer; else of the link below, if any
  std::optional<int> peer_netns = std::nullopt;  // its number here; none: the same namespace
  bool xdp = false;                              // a program is in its driver

  struct Vxlan {
    std::uint16_t port = 0;
    bool external = false;
    bool learning = false;
  };
  std::optional<Vxlan> vxlan = std::nullopt;
};

struct LinkAddressing {
  std::uint32_t index = 0;
  Cidr prefix;  // host bits are in `address`
  Address address;
};

struct Neighbour {
  std::uint32_t index = 0;
  Address address;
  LinkAddress link_address{};
  bool permanent = false;
};

Result<std::vector<Link>> list_links(Netlink& netlink);
// kNotFound when there is none of that name.
Result<Link> find_link(Netlink& netlink, const std::string& name);
// veth: the other end, wherever it is. kNotFound when it cannot be seen from here.
Result<Link> find_peer(Netlink& netlink, const Link& link);
// Of all links, or of one.
Result<std::vector<LinkAddressing>> list_addresses(Netlink& netlink, std::uint32_t index = 0);
// Unicast routes of the main table, with one next hop.
Result<std::vector<request::Route>> list_routes(Netlink& netlink);
Result<std::vector<Neighbour>> list_neighbours(Netlink& netlink, std::uint32_t index = 0);

}  // namespace weir
