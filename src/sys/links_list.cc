// What the kernel has: its answers become values.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sys/answers.h"
#include "sys/attributes.h"
#include "sys/links.h"

namespace weir {
namespace {

Address address_of(const nlattr* attr) {
  std::array<std::uint8_t, 16> bytes{};
  const std::size_t size = mnl_attr_get_payload_len(attr);
  if (size == 4) {
    std::uint32_t be = 0;
    std::memcpy(&be, mnl_attr_get_payload(attr), 4);
    return Address::v4(ntohl(be));
  }
  if (size == 16) std::memcpy(bytes.data(), mnl_attr_get_payload(attr), 16);
  return Address::from_bytes(bytes);
}

LinkAddress link_address_of(const nlattr* attr) {
  LinkAddress address{};
  if (attr != nullptr && mnl_attr_get_payload_len(attr) == address.size()) {
    std::memcpy(address.data(), mnl_attr_get_payload(attr), address.size());
  }
  return address;
}

Link::Vxlan vxlan_of(const nlattr* data) {
  const auto found = nested<IFLA_VXLAN_MAX + 1>(data);
  Link::Vxlan vxlan;
  vxlan.port = ntohs(number_of<std::uint16_t>(found[IFLA_VXLAN_PORT]));
  vxlan.external = number_of<std::uint8_t>(found[IFLA_VXLAN_COLLECT_METADATA]) != 0;
  vxlan.learning = number_of<std::uint8_t>(found[IFLA_VXLAN_LEARNING]) != 0;
  return vxlan;
}

// A dump of one kind of thing: `parse` gives a value, or none to skip the answer.
template <typename Value, typename Header, typename Parse>
Result<std::vector<Value>> list(Netlink& netlink, std::uint16_t type, Header header,
                                const char* noun, Parse parse) {
  Batch batch;
  *batch.add<Header>(type, NLM_F_DUMP, noun) = header;
  std::vector<Value> values;
  WEIR_TRY(netlink.dump(
      batch,
      [&values, &parse](const nlmsghdr* message) {
        if (auto value = parse(message)) values.push_back(std::move(*value));
      },
      [&values] { values.clear(); }));
  return values;
}

// The answer to a question about one link.
Result<Link> one_link(Netlink& netlink, Batch& batch) {
  Link link;
  WEIR_TRY(netlink.dump(
      batch, [&link](const nlmsghdr* message) { link = answer::link_of(message).value_or(Link{}); },
      {}));
  return link;
}

// Kernels before 6.3 do not know the limit of IPv4, which has the legacy one then.
std::uint32_t gso_size_of(const nlattr* any, const nlattr* ipv4) {
  const auto size = number_of<std::uint32_t>(any);
  const auto ipv4_size = number_of<std::uint32_t>(ipv4);
  return std::min(size == 0 ? kLegacyGsoSize : size, ipv4_size == 0 ? kLegacyGsoSize : ipv4_size);
}

}  // namespace

std::optional<Link> answer::link_of(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  if (header == nullptr) return {};
  constexpr std::size_t kTypes = std::max<std::size_t>(IFLA_MAX, kIflaGsoIpv4MaxSize) + 1;
  const auto found = attributes<kTypes, ifinfomsg>(message);
  Link link;
  link.index = static_cast<std::uint32_t>(header->ifi_index);
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.name = text_of(found[IFLA_IFNAME]);
  link.address = link_address_of(found[IFLA_ADDRESS]);
  link.mtu = number_of<std::uint32_t>(found[IFLA_MTU]);
  link.gso_max_size = gso_size_of(found[IFLA_GSO_MAX_SIZE], found[kIflaGsoIpv4MaxSize]);
  link.tso_max_size = number_of<std::uint32_t>(found[IFLA_TSO_MAX_SIZE]);
  link.master = number_of<std::uint32_t>(found[IFLA_MASTER]);
  link.peer_index = number_of<std::uint32_t>(found[IFLA_LINK]);
  if (found[IFLA_LINK_NETNSID]) {
    link.peer_netns = number_of<std::int32_t>(found[IFLA_LINK_NETNSID]);
  }
  if (found[IFLA_XDP]) {
    const auto* attached = nested<IFLA_XDP_MAX + 1>(found[IFLA_XDP])[IFLA_XDP_ATTACHED];
    link.xdp = number_of<std::uint8_t>(attached) == XDP_ATTACHED_DRV;
  }
  if (!found[IFLA_LINKINFO]) return link;
  const auto info = nested<IFLA_INFO_MAX + 1>(found[IFLA_LINKINFO]);
  link.kind = text_of(info[IFLA_INFO_KIND]);
  if (link.kind == "vxlan" && info[IFLA_INFO_DATA]) link.vxlan = vxlan_of(info[IFLA_INFO_DATA]);
  return link;
}

std::optional<request::Route> answer::route_of(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr) return {};
  const auto found = attributes<RTA_MAX + 1, rtmsg>(message);
  if (header->rtm_type != RTN_UNICAST || (header->rtm_flags & RTM_F_CLONED) != 0) return {};
  const nlattr* table = found[RTA_TABLE];
  if (table != nullptr && number_of<std::uint32_t>(table) != RT_TABLE_MAIN) return {};
  if (!found[RTA_OIF]) return {};
  request::Route route;
  const bool v4 = header->rtm_family == AF_INET;
  const Address any = v4 ? Address::v4(0) : Address();
  route.destination = Cidr(found[RTA_DST] ? address_of(found[RTA_DST]) : any, header->rtm_dst_len);
  route.index = number_of<std::uint32_t>(found[RTA_OIF]);
  if (found[RTA_GATEWAY]) route.via = address_of(found[RTA_GATEWAY]);
  if (found[RTA_PREFSRC]) route.source = address_of(found[RTA_PREFSRC]);
  route.onlink = (header->rtm_flags & RTNH_F_ONLINK) != 0;
  route.protocol = header->rtm_protocol;
  if (found[RTA_METRICS]) {
    route.mtu = number_of<std::uint32_t>(nested<RTAX_MAX + 1>(found[RTA_METRICS])[RTAX_MTU]);
  }
  return route;
}

std::optional<Neighbour> answer::neighbour_of(const nlmsghdr* message) {
  const auto* header = header_of<ndmsg>(message);
  if (header == nullptr) return {};
  const auto found = attributes<NDA_MAX + 1, ndmsg>(message);
  if (!found[NDA_DST]) return {};
  Neighbour neighbour;
  neighbour.index = static_cast<std::uint32_t>(header->ndm_ifindex);
  neighbour.address = address_of(found[NDA_DST]);
  neighbour.link_address = link_address_of(found[NDA_LLADDR]);
  neighbour.permanent = (header->ndm_state & NUD_PERMANENT) != 0;
  return neighbour;
}

std::optional<LinkAddressing> answer::addressing_of(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) return {};
  const auto found = attributes<IFA_MAX + 1, ifaddrmsg>(message);
  const nlattr* attr = found[IFA_LOCAL] ? found[IFA_LOCAL] : found[IFA_ADDRESS];
  if (attr == nullptr) return {};
  const Address address = address_of(attr);
  return LinkAddressing{header->ifa_index, Cidr(address, header->ifa_prefixlen), address};
}

Result<std::vector<Link>> list_links(Netlink& netlink) {
  return list<Link>(netlink, RTM_GETLINK, ifinfomsg{}, "list links", answer::link_of);
}

Result<Link> find_link(Netlink& netlink, const std::string& name) {
  Batch batch;
  batch.add<ifinfomsg>(RTM_GETLINK, 0, fmt::format("link {}", name));
  batch.put_string(IFLA_IFNAME, name);
  batch.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  return one_link(netlink, batch);
}

Result<Link> find_peer(Netlink& netlink, const Link& link) {
  const Error unseen(Code::kNotFound, fmt::format("the other end of {} cannot be seen", link.name));
  constexpr int kNoNumber = -1;  // the namespace has none here
  if (link.kind != "veth" || link.peer_index == 0 || link.peer_netns == kNoNumber) return unseen;
  Batch batch;
  auto* header = batch.add<ifinfomsg>(RTM_GETLINK, 0, "the other end of " + link.name);
  header->ifi_index = static_cast<int>(link.peer_index);
  batch.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (link.peer_netns) {
    batch.put_u32(IFLA_TARGET_NETNSID, static_cast<std::uint32_t>(*link.peer_netns));
  }
  WEIR_ASSIGN(const Link peer, one_link(netlink, batch));
  return peer.kind == "veth" ? Result<Link>(peer) : unseen;
}

Result<std::vector<LinkAddressing>> list_addresses(Netlink& netlink, std::uint32_t index) {
  ifaddrmsg header{};
  header.ifa_index = index;
  return list<LinkAddressing>(netlink, RTM_GETADDR, header, "list addresses",
                              answer::addressing_of);
}

Result<std::vector<request::Route>> list_routes(Netlink& netlink) {
  return list<request::Route>(netlink, RTM_GETROUTE, rtmsg{}, "list routes", answer::route_of);
}

Result<std::vector<Neighbour>> list_neighbours(Netlink& netlink, std::uint32_t index) {
  return list<Neighbour>(netlink, RTM_GETNEIGH, ndmsg{}, "list neighbours",
                         [index](const nlmsghdr* message) {
                           auto neighbour = answer::neighbour_of(message);
                           if (neighbour && index != 0 && neighbour->index != index) {
                             neighbour.reset();
                           }
                           return neighbour;
                         });
}

}  // namespace weir
