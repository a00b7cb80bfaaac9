#include "sys/node_links.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>

namespace weir {
namespace {

// Links that are about to be deleted together; the number is read as "weir".
constexpr std::uint32_t kLeavingGroup = 0x77656972;

std::string_view bytes_of(const LinkAddress& address) {
  return {reinterpret_cast<const char*>(address.data()), address.size()};
}

void add_vxlan(Batch& batch, const VxlanConfig& config) {
  batch.add<ifinfomsg>(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
                       fmt::format("create link {}", config.name));
  batch.put_string(IFLA_IFNAME, config.name);
  batch.put(IFLA_ADDRESS, bytes_of(config.address));
  const auto info = batch.begin(IFLA_LINKINFO);
  batch.put_string(IFLA_INFO_KIND, "vxlan");
  const auto data = batch.begin(IFLA_INFO_DATA);
  batch.put_u8(IFLA_VXLAN_COLLECT_METADATA, 1);
  batch.put_u8(IFLA_VXLAN_LEARNING, 0);
  batch.put_u16(IFLA_VXLAN_PORT, htons(config.port));
  batch.put_u8(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 1);
  batch.put_u8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1);
  batch.end(data);
  batch.end(info);
}

bool fits(const Link& link, const VxlanConfig& config) {
  return link.vxlan && link.vxlan->external && !link.vxlan->learning &&
         link.vxlan->port == config.port;
}

void shape_vxlan(Batch& batch, std::uint32_t index, const VxlanConfig& config, bool new_address) {
  request::no_link_local(batch, index);
  auto* message = batch.add<ifinfomsg>(RTM_NEWLINK, 0, fmt::format("set link {} up", config.name));
  message->ifi_index = static_cast<int>(index);
  message->ifi_flags = IFF_UP | IFF_NOARP;
  message->ifi_change = IFF_UP | IFF_NOARP;
  if (new_address) batch.put(IFLA_ADDRESS, bytes_of(config.address));
  batch.put_u32(IFLA_MTU, config.mtu);
}

}  // namespace

Result<std::uint32_t> ensure_vxlan(Netlink& netlink, const VxlanConfig& config) {
  auto link = find_link(netlink, config.name);
  if (!link && link.error().code() != Code::kNotFound) return link.error();
  if (link && link->kind != "vxlan") {
    return Error(Code::kExists, fmt::format("link {} exists and is no VXLAN device", config.name));
  }
  if (link && !fits(*link, config)) {
    WEIR_TRY(remove_link(netlink, config.name));
    link = Error(Code::kNotFound, "");
  }
  if (!link) {
    Batch create;
    add_vxlan(create, config);
    WEIR_TRY(netlink.run(create));
    link = find_link(netlink, config.name);
    if (!link) return link.error();
  }
  const bool has_shape = link->up && link->mtu == config.mtu && link->address == config.address;
  if (has_shape) return link->index;  // to set it again would be told as a change
  Batch shape;
  shape_vxlan(shape, link->index, config, link->address != config.address);
  WEIR_TRY(netlink.run(shape));
  return link->index;
}

Result<void> remove_link(Netlink& netlink, const std::string& name) {
  const auto link = find_link(netlink, name);
  if (!link) return link.error().code() == Code::kNotFound ? Result<void>() : link.error();
  Batch batch;
  request::delete_link(batch, link->index);
  return netlink.run(batch);
}

Result<void> remove_links(Netlink& netlink, const std::vector<std::string>& names) {
  if (names.size() == 1) return remove_link(netlink, names.front());
  Batch batch;
  for (const auto& name : names) {
    batch.add<ifinfomsg>(RTM_NEWLINK, 0, fmt::format("link {}: group", name));
    batch.put_string(IFLA_IFNAME, name);
    batch.put_u32(IFLA_GROUP, kLeavingGroup);
    batch.tolerate(ENODEV);
  }
  batch.add<ifinfomsg>(RTM_DELLINK, 0, "delete links");
  batch.put_u32(IFLA_GROUP, kLeavingGroup);
  batch.tolerate(ENODEV);
  return netlink.run(batch);
}

Result<void> ensure_kernel_routes(Netlink& netlink, std::vector<request::Route> routes) {
  for (auto& route : routes) route.protocol = kNodeRouteProtocol;
  WEIR_ASSIGN(const auto present, list_routes(netlink));
  Batch batch;
  for (const auto& route : routes) {
    if (std::ranges::find(present, route) == present.end()) request::replace_route(batch, route);
  }
  for (const auto& old : present) {
    const bool wanted = std::ranges::any_of(routes, [&old](const request::Route& route) {
      return route.destination == old.destination;
    });
    if (old.protocol == kNodeRouteProtocol && !wanted) request::delete_route(batch, old);
  }
  return netlink.run(batch);
}

Result<std::vector<LinkAddressing>> own_addresses(Netlink& netlink) {
  WEIR_ASSIGN(auto addresses, list_addresses(netlink));
  static const Cidr kNot[] = {Cidr(Address::v4(0x7f000000), 8), Cidr(Address::v4(0xa9fe0000), 16),
                              *Cidr::parse("::1/128"), *Cidr::parse("fe80::/10")};
  std::erase_if(addresses, [](const LinkAddressing& one) {
    return std::ranges::any_of(kNot,
                               [&one](const Cidr& cidr) { return cidr.contains(one.address); });
  });
  return addresses;
}

Result<void> accept_own_addresses(const std::string& ifname) {
  return write_sysctl("net/ipv4/conf/" + ifname + "/accept_local", "1");
}

Result<void> ensure_forwarding(bool ipv4, bool ipv6) {
  if (ipv4) WEIR_TRY(write_sysctl("net/ipv4/ip_forward", "1"));
  if (ipv6) WEIR_TRY(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  return {};
}

}  // namespace weir
