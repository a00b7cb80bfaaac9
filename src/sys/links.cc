// Requests about links, addresses, routes and neighbours. What the kernel answers: links_list.cc.
#include "sys/links.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include "sys/attributes.h"

namespace weir::request {
namespace {

std::string_view bytes_of(const LinkAddress& address) {
  return {reinterpret_cast<const char*>(address.data()), address.size()};
}

unsigned char family_of(const Address& address) { return address.is_v4() ? AF_INET : AF_INET6; }

unsigned char bits_of(const Address& address) { return address.is_v4() ? 32 : 128; }

ifinfomsg* link_message(Batch& batch, std::uint16_t type, std::uint16_t flags, std::uint32_t index,
                        std::string noun) {
  auto* message = batch.add<ifinfomsg>(type, flags, std::move(noun));
  message->ifi_family = AF_UNSPEC;
  message->ifi_index = static_cast<int>(index);
  return message;
}

// That of IPv4 comes last: the kernel lowers it with the other.
void put_gso_size(Batch& batch, std::uint32_t gso_max_size) {
  batch.put_u32(IFLA_GSO_MAX_SIZE, gso_max_size);
  batch.put_u32(IFLA_GRO_MAX_SIZE, gso_max_size);
  batch.put_u32(kIflaGsoIpv4MaxSize, gso_max_size);
  batch.put_u32(kIflaGroIpv4MaxSize, gso_max_size);
}

void put_end(Batch& batch, const VethEnd& end, std::uint32_t mtu, std::uint32_t gso_max_size) {
  batch.put_string(IFLA_IFNAME, end.name);
  batch.put(IFLA_ADDRESS, bytes_of(end.address));
  batch.put_u32(IFLA_MTU, mtu);
  if (gso_max_size != kLegacyGsoSize) put_gso_size(batch, gso_max_size);
}

void put_route(Batch& batch, const Route& route) {
  batch.put(RTA_DST, route.destination.address().wire());
  if (route.index != 0) batch.put_u32(RTA_OIF, route.index);
  if (route.via) batch.put(RTA_GATEWAY, route.via->wire());
  if (route.source) batch.put(RTA_PREFSRC, route.source->wire());
  if (route.mtu != 0) {
    const auto metrics = batch.begin(RTA_METRICS);
    batch.put_u32(RTAX_MTU, route.mtu);
    batch.end(metrics);
  }
}

void add_route_message(Batch& batch, std::uint16_t type, std::uint16_t flags, const Route& route,
                       std::string noun) {
  auto* message = batch.add<rtmsg>(type, flags, std::move(noun));
  message->rtm_family = family_of(route.destination.address());
  message->rtm_dst_len = static_cast<unsigned char>(route.destination.bits());
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_protocol = route.protocol;
  message->rtm_scope =
      !route.via && route.destination.address().is_v4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  message->rtm_type = RTN_UNICAST;
  if (route.onlink) message->rtm_flags = RTNH_F_ONLINK;
  put_route(batch, route);
}

}  // namespace

void add_veth(Batch& batch, const VethEnd& end, const VethEnd& peer, int peer_netns,
              std::uint32_t mtu, std::uint32_t gso_max_size) {
  link_message(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, end.index,
               fmt::format("create link {} - {}", end.name, peer.name));
  put_end(batch, end, mtu, gso_max_size);
  const auto info = batch.begin(IFLA_LINKINFO);
  batch.put_string(IFLA_INFO_KIND, "veth");
  const auto data = batch.begin(IFLA_INFO_DATA);
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(peer.index);
  const auto nested =
      batch.begin_with(VETH_INFO_PEER, {reinterpret_cast<const char*>(&header), sizeof header});
  put_end(batch, peer, mtu, gso_max_size);
  batch.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer_netns));
  batch.end(nested);
  batch.end(data);
  batch.end(info);
}

void set_gso_size(Batch& batch, std::uint32_t index, std::uint32_t gso_max_size) {
  link_message(batch, RTM_NEWLINK, 0, index,
               fmt::format("link {}: gso_max_size {}", index, gso_max_size));
  put_gso_size(batch, gso_max_size);
}

void set_up(Batch& batch, std::uint32_t index) {
  auto* message = link_message(batch, RTM_NEWLINK, 0, index, fmt::format("set link {} up", index));
  message->ifi_flags = IFF_UP;
  message->ifi_change = IFF_UP;
}

void delete_link(Batch& batch, std::uint32_t index) {
  link_message(batch, RTM_DELLINK, 0, index, fmt::format("delete link {}", index));
  batch.tolerate(ENODEV);
}

void no_link_local(Batch& batch, std::uint32_t index) {
  link_message(batch, RTM_NEWLINK, 0, index, fmt::format("link {}: addr_gen_mode", index));
  const auto spec = batch.begin(IFLA_AF_SPEC);
  const auto inet6 = batch.begin(AF_INET6);
  batch.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  batch.end(inet6);
  batch.end(spec);
}

void forward_v4(Batch& batch, std::uint32_t index) {
  link_message(batch, RTM_NEWLINK, 0, index, fmt::format("link {}: IPv4 settings", index));
  const auto spec = batch.begin(IFLA_AF_SPEC);
  const auto inet = batch.begin(AF_INET);
  const auto conf = batch.begin(IFLA_INET_CONF);
  batch.put_u32(IPV4_DEVCONF_FORWARDING, 1);
  batch.put_u32(IPV4_DEVCONF_RP_FILTER, 0);
  batch.put_u32(IPV4_DEVCONF_ACCEPT_LOCAL, 1);
  batch.end(conf);
  batch.end(inet);
  batch.end(spec);
}

void add_address(Batch& batch, std::uint32_t index, const Address& address) {
  auto* message = batch.add<ifaddrmsg>(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
                                       fmt::format("add address {}", address.to_string()));
  message->ifa_family = family_of(address);
  message->ifa_prefixlen = bits_of(address);
  message->ifa_index = index;
  message->ifa_scope = RT_SCOPE_UNIVERSE;
  batch.put(IFA_LOCAL, address.wire());
  batch.put(IFA_ADDRESS, address.wire());
  batch.put_u32(IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_PERMANENT);
}

void add_permanent_neighbour(Batch& batch, std::uint32_t index, const Address& address,
                             const LinkAddress& link_address) {
  auto* message = batch.add<ndmsg>(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
                                   fmt::format("add neighbour {}", address.to_string()));
  message->ndm_family = family_of(address);
  message->ndm_ifindex = static_cast<int>(index);
  message->ndm_state = NUD_PERMANENT;
  batch.put(NDA_DST, address.wire());
  batch.put(NDA_LLADDR, bytes_of(link_address));
}

void replace_route(Batch& batch, const Route& route) {
  add_route_message(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route,
                    fmt::format("set route to {}", route.destination.to_string()));
}

void add_route(Batch& batch, const Route& route) {
  add_route_message(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route,
                    fmt::format("add route to {}", route.destination.to_string()));
  batch.tolerate(EEXIST);
}

void delete_route(Batch& batch, const Route& route) {
  add_route_message(batch, RTM_DELROUTE, 0, route,
                    fmt::format("delete route to {}", route.destination.to_string()));
  batch.tolerate(ESRCH);
}

}  // namespace weir::request
