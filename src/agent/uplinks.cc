#include "agent/uplinks.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent/kernel.h"
#include "sys/links.h"
#include "sys/netns.h"
#include "sys/node_links.h"

namespace weir {
namespace {

constexpr std::uint32_t kOuterIpv4 = 50;  // Ethernet 14, IPv4 20, UDP 8, VXLAN 8
constexpr std::uint32_t kOuterIpv6 = 70;

Result<std::set<std::uint32_t>> links_with_default_route(Netlink& netlink) {
  std::set<std::uint32_t> found;
  WEIR_ASSIGN(const auto routes, list_routes(netlink));
  for (const auto& route : routes) {
    if (route.destination.bits() == 0) found.insert(route.index);
  }
  return found;
}

Result<void> make_tunnel(Netlink& netlink, const Settings& settings, Uplinks& uplinks) {
  const bool outer_v4 = std::ranges::any_of(uplinks.addresses, &Address::is_v4);
  VxlanConfig config;
  config.name = kTunnelName;
  config.port = settings.tunnel_port;
  config.address = WEIR_TUNNEL_MAC;
  config.mtu = uplinks.pod_mtu - (outer_v4 ? kOuterIpv4 : kOuterIpv6);
  const auto tunnel = ensure_vxlan(netlink, config);
  if (!tunnel) return explain_vxlan(tunnel.error());
  uplinks.tunnel = *tunnel;
  uplinks.pod_mtu = config.mtu;
  return {};
}

// As the kernel would: by the longest prefix, of those with one length the first.
const request::Route* way_to(const std::vector<request::Route>& present, const Address& node) {
  const request::Route* best = nullptr;
  for (const auto& one : present) {
    const bool ours = one.protocol == kNodeRouteProtocol || one.protocol == kPodRouteProtocol;
    if (ours || !one.destination.contains(node)) continue;
    if (best == nullptr || one.destination.bits() > best->destination.bits()) best = &one;
  }
  return best;
}

}  // namespace

Result<std::vector<Uplink>> choose_devices(Netlink& netlink,
                                           const std::vector<std::string>& names) {
  WEIR_ASSIGN(const auto links, list_links(netlink));
  WEIR_ASSIGN(const auto defaults, links_with_default_route(netlink));
  std::vector<Uplink> chosen;
  for (const Link& link : links) {
    const bool named = std::ranges::find(names, link.name) != names.end();
    if (names.empty() ? defaults.contains(link.index) : named) {
      chosen.push_back({link.name, link.index, link.mtu, {}});
    }
  }
  for (const std::string& name : names) {
    if (std::ranges::none_of(chosen, [&](const Uplink& up) { return up.name == name; })) {
      return Error(Code::kNotFound, fmt::format("--device {}: there is no such link", name));
    }
  }
  if (chosen.empty()) {
    return Error(Code::kNotFound,
                 "no link has a default route: name the links to other machines with --device");
  }
  return chosen;
}

bool Uplinks::has(std::uint32_t ifindex) const {
  return (tunnel != 0 && ifindex == tunnel) ||
         std::ranges::any_of(devices, [=](const Uplink& one) { return one.ifindex == ifindex; });
}

std::map<std::uint32_t, weir_device> Uplinks::rows() const {
  std::map<std::uint32_t, weir_device> out;
  for (const Uplink& device : devices) {
    weir_device row{};
    row.mtu = device.mtu;
    for (const Address& address : device.addresses) {
      weir_addr& slot = address.is_v4() ? row.v4 : row.v6;
      if (from_abi(slot).is_zero()) slot = to_abi(address);
    }
    out[device.ifindex] = row;
  }
  if (tunnel == 0) return out;
  // What leaves by the tunnel with another source has the address that other nodes know.
  weir_device row{};
  row.v4 = to_abi(node_address(Family::kIpv4));
  row.v6 = to_abi(node_address(Family::kIpv6));
  row.mtu = pod_mtu;
  out[tunnel] = row;
  return out;
}

Address Uplinks::node_address(Family family) const {
  for (const Uplink& device : devices) {
    for (const Address& address : device.addresses) {
      if (address.family() == family) return address;
    }
  }
  return {};
}

Result<Uplinks> find_uplinks(Netlink& netlink, const std::vector<std::string>& names,
                             const Settings& settings) {
  Uplinks uplinks;
  WEIR_ASSIGN(uplinks.devices, choose_devices(netlink, names));
  WEIR_ASSIGN(const auto addresses, own_addresses(netlink));
  for (const LinkAddressing& one : addresses) {
    uplinks.addresses.push_back(one.address);
    for (Uplink& device : uplinks.devices) {
      if (device.ifindex == one.index) device.addresses.push_back(one.address);
    }
  }
  uplinks.link_mtu = std::ranges::min_element(uplinks.devices, {}, &Uplink::mtu)->mtu;
  uplinks.pod_mtu = uplinks.link_mtu;
  if (settings.tunnel) {
    WEIR_TRY(make_tunnel(netlink, settings, uplinks));
  } else {
    WEIR_TRY(remove_link(netlink, kTunnelName));
  }
  return uplinks;
}

Result<void> set_kernel_routes(Netlink& netlink, const std::map<Cidr, NodeRoute>& routes,
                               const Uplinks& uplinks) {
  std::vector<request::Route> wanted;
  WEIR_ASSIGN(const auto present, list_routes(netlink));
  for (const auto& [cidr, route] : routes) {
    request::Route out;
    out.destination = cidr;
    const Address source = uplinks.node_address(cidr.family());
    if (!source.is_zero()) out.source = source;
    if (route.via == NodeRoute::Via::kTunnel) {
      out.index = uplinks.tunnel;
      out.mtu = route.mtu == 0 ? uplinks.pod_mtu : std::min(route.mtu, uplinks.pod_mtu);
    } else {
      // Routers on the way to a node that is no neighbour know the way to its pods.
      const auto* way = way_to(present, route.node);
      if (way == nullptr) continue;  // several ways at once: the host's own routes will do
      out.index = way->index;
      out.via = way->via.value_or(route.node);
      out.onlink = way->onlink;
      out.mtu = route.mtu;
    }
    wanted.push_back(out);
  }
  return ensure_kernel_routes(netlink, std::move(wanted));
}

}  // namespace weir
