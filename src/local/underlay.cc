#include "local/underlay.h"

#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "local/netns_files.h"
#include "sys/files.h"
#include "sys/links.h"
#include "sys/node_links.h"

namespace weir::local {
namespace {

constexpr std::uint32_t kMtu = 1500;
constexpr std::uint32_t kLoopback = 1;

void add_bridge(Batch& batch, const std::string& name) {
  auto* message = batch.add<ifinfomsg>(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create " + name);
  message->ifi_family = AF_UNSPEC;
  batch.put_string(IFLA_IFNAME, name);
  const auto info = batch.begin(IFLA_LINKINFO);
  batch.put_string(IFLA_INFO_KIND, "bridge");
  batch.end(info);
}

void set_master(Batch& batch, std::uint32_t index, std::uint32_t master) {
  auto* message = batch.add<ifinfomsg>(RTM_NEWLINK, 0, fmt::format("put link {} on bridge", index));
  message->ifi_family = AF_UNSPEC;
  message->ifi_index = static_cast<int>(index);
  batch.put_u32(IFLA_MASTER, master);
}

// With the route to its prefix.
void add_prefix_address(Batch& batch, std::uint32_t index, const Address& address, int bits) {
  auto* message = batch.add<ifaddrmsg>(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
                                       fmt::format("add address {}", address.to_string()));
  message->ifa_family = address.is_v4() ? AF_INET : AF_INET6;
  message->ifa_prefixlen = static_cast<unsigned char>(bits);
  message->ifa_index = index;
  message->ifa_scope = RT_SCOPE_UNIVERSE;
  batch.put(IFA_LOCAL, address.wire());
  batch.put(IFA_ADDRESS, address.wire());
  batch.put_u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_PERMANENT);
}

void add_default_route(Batch& batch, std::uint32_t index, const Address& gateway) {
  const auto any = gateway.is_v4() ? Address::v4(0) : Address();
  request::replace_route(
      batch,
      {.destination = Cidr(any, 0), .index = index, .via = gateway, .protocol = RTPROT_STATIC});
}

// Addresses are to be usable at once, and packets may leave by another way than they came.
Result<void> set_sysctls() {
  for (const char* scope : {"all", "default"}) {
    WEIR_TRY(write_sysctl(fmt::format("net/ipv4/conf/{}/rp_filter", scope), "0"));
    WEIR_TRY(write_sysctl(fmt::format("net/ipv6/conf/{}/accept_dad", scope), "0"));
    WEIR_TRY(write_sysctl(fmt::format("net/ipv6/conf/{}/accept_ra", scope), "0"));
  }
  return ensure_forwarding(true, true);
}

Result<Netns> make_host(const std::string& path) {
  WEIR_ASSIGN(auto netns, make_netns_file(path));
  WEIR_ASSIGN(const auto scope, NetnsScope::enter(netns));
  WEIR_TRY(set_sysctls());
  return netns;
}

// The bridge's index.
Result<std::uint32_t> fill_outside(Netlink& netlink, const Cluster& cluster) {
  Batch bridge;
  add_bridge(bridge, "br0");
  WEIR_TRY(netlink.run(bridge));
  WEIR_ASSIGN(const auto link, find_link(netlink, "br0"));
  Batch batch;
  request::set_up(batch, kLoopback);
  request::set_up(batch, link.index);
  for (const auto& gateway : gateway_addresses(cluster)) {
    add_prefix_address(batch, link.index, gateway.address, gateway.bits);
  }
  for (const auto& address : outside_addresses(cluster)) {
    request::add_address(batch, kLoopback, address);
  }
  WEIR_TRY(netlink.run(batch));
  return link.index;
}

LinkAddress mac(std::uint8_t side, std::size_t index) {
  return {0x02, 0x57, 0x45, 0x49, side, static_cast<std::uint8_t>(index)};
}

Result<void> plug_in(Netlink& outside, std::uint32_t bridge, const LocalNode& node,
                     std::size_t index, const Netns& netns) {
  Batch cable;
  request::add_veth(cable, {.name = node.name, .address = mac(1, index)},
                    {.name = "eth0", .address = mac(2, index)}, netns.fd(), kMtu);
  WEIR_TRY(outside.run(cable));
  WEIR_ASSIGN(const auto link, find_link(outside, node.name));
  Batch batch;
  set_master(batch, link.index, bridge);
  request::set_up(batch, link.index);
  return outside.run(batch);
}

Result<void> address_node(const Netns& netns, const Cluster& cluster, const LocalNode& node) {
  WEIR_ASSIGN(auto netlink, Netlink::open_in(netns));
  WEIR_ASSIGN(const auto link, find_link(netlink, "eth0"));
  Batch batch;
  request::set_up(batch, kLoopback);
  request::set_up(batch, link.index);
  for (const auto& address : node.addresses) {
    add_prefix_address(batch, link.index, address,
                       address.is_v4() ? kUnderlayBits4 : kUnderlayBits6);
  }
  for (const auto& gateway : gateway_addresses(cluster)) {
    add_default_route(batch, link.index, gateway.address);
  }
  return netlink.run(batch);
}

}  // namespace

Result<void> make_underlay(const Paths& paths, const Cluster& cluster) {
  WEIR_ASSIGN(const auto outside, make_host(paths.underlay_netns()));
  WEIR_ASSIGN(auto netlink, Netlink::open_in(outside));
  WEIR_ASSIGN(const auto bridge, fill_outside(netlink, cluster));
  std::size_t index = 0;
  for (const auto& node : cluster.make_nodes()) {
    WEIR_ASSIGN(const auto netns, make_host(paths.netns_path(node.name)));
    WEIR_TRY(plug_in(netlink, bridge, node, index++, netns));
    WEIR_TRY(address_node(netns, cluster, node));
  }
  return {};
}

Result<void> remove_underlay(const Paths& paths) {
  for (std::uint64_t i = 0; i < kMaxNodes; ++i) {
    WEIR_TRY(remove_netns_file(paths.netns_path(fmt::format("n{}", i))));
  }
  const auto removed = remove_netns_file(paths.underlay_netns());
  release_named();
  return removed;
}

}  // namespace weir::local
