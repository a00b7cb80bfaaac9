#include "sandbox/pod_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sandbox/bandwidth.h"
#include "sandbox/gateway.h"
#include "sys/files.h"
#include "sys/local_addresses.h"

namespace weir {
namespace {

// A worker of the kernel is due at once.
constexpr std::chrono::seconds kAddressPatience{2};

bool has_family(const Endpoint& endpoint, Family family) {
  return std::ranges::any_of(endpoint.addresses,
                             [family](const Address& a) { return a.family() == family; });
}

request::Route host_route(const Endpoint& endpoint, const Address& address,
                          const PodLinkOptions& options) {
  request::Route route{.destination = only(address), .index = endpoint.host_ifindex};
  for (const auto& own : options.node_addresses) {
    if (own.family() == address.family()) route.source = own;
  }
  return route;
}

request::Route pod_route(std::uint32_t index, Family family) {
  return {.destination = everything(family),
          .index = index,
          .via = gateway(family),
          .onlink = family == Family::kIpv4};
}

// The index is given beforehand, so that all of the node's side is one exchange.
Batch node_side(const Netns& pod, const Endpoint& endpoint, const PodLinkOptions& options) {
  Batch batch;
  const std::uint32_t index = endpoint.host_ifindex;
  request::add_veth(batch, {endpoint.host_ifname, index, kGatewayLinkAddress},
                    {endpoint.ifname, 0, endpoint.mac}, pod.fd(), options.mtu,
                    options.gso_max_size);
  request::no_link_local(batch, index);
  request::forward_v4(batch, index);
  request::set_up(batch, index);
  if (const auto limit = rate_limit(endpoint.ingress, options.mtu)) {
    request::limit_rate(batch, index, *limit);
  }
  for (const auto& address : endpoint.addresses) {
    request::replace_route(batch, host_route(endpoint, address, options));
    request::add_permanent_neighbour(batch, index, address, endpoint.mac);
  }
  return batch;
}

Batch pod_side(std::uint32_t index, const Endpoint& endpoint, std::uint32_t mtu) {
  Batch batch;
  request::set_up(batch, 1);
  request::no_link_local(batch, index);
  request::set_up(batch, index);
  if (const auto limit = rate_limit(endpoint.egress, mtu)) {
    request::limit_rate(batch, index, *limit);
  }
  for (const auto& address : endpoint.addresses) {
    const Family family = address.family();
    request::add_address(batch, index, address);
    request::add_permanent_neighbour(batch, index, gateway(family), kGatewayLinkAddress);
    // The default route of another interface stays.
    request::add_route(batch, pod_route(index, family));
  }
  return batch;
}

// In the pod's namespace. Runtimes may have turned IPv6 off there.
Result<void> pod_sysctls(const Endpoint& endpoint) {
  if (!has_family(endpoint, Family::kIpv6)) return {};
  const auto conf = fmt::format("net/ipv6/conf/{}/", endpoint.ifname);
  WEIR_TRY(write_sysctl(conf + "disable_ipv6", "0"));
  return write_sysctl(conf + "accept_ra", "0");
}

struct PodSockets {
  Netlink netlink;
  LocalAddresses locals;
};

Result<PodSockets> enter_pod(const Netns& pod, const Endpoint& endpoint) {
  WEIR_ASSIGN(const auto scope, NetnsScope::enter(pod));
  WEIR_TRY(pod_sysctls(endpoint));
  WEIR_ASSIGN(auto netlink, Netlink::open());
  WEIR_ASSIGN(auto locals, LocalAddresses::open());
  return PodSockets{std::move(netlink), std::move(locals)};
}

Result<void> configure_pod(const Netns& pod, const Endpoint& endpoint, std::uint32_t mtu) {
  WEIR_ASSIGN(auto inside, enter_pod(pod, endpoint));
  WEIR_ASSIGN(const auto link, find_link(inside.netlink, endpoint.ifname));
  auto batch = pod_side(link.index, endpoint, mtu);
  WEIR_TRY(inside.netlink.run(batch));
  return inside.locals.wait_for(endpoint.addresses, kAddressPatience);
}

Error missing(std::string what) { return {Code::kNotFound, what + " is missing"}; }

// Addresses, neighbours and routes that one side has to have.
struct Expected {
  std::vector<Address> addresses;
  std::vector<std::pair<Address, LinkAddress>> neighbours;
  std::vector<request::Route> routes;  // index 0: by any link
};

Result<void> check_side(Netlink& netlink, const Link& link, const Expected& expected) {
  WEIR_ASSIGN(const auto addresses, list_addresses(netlink, link.index));
  for (const auto& wanted : expected.addresses) {
    if (std::ranges::find(addresses, wanted, &LinkAddressing::address) == addresses.end()) {
      return missing("address " + wanted.to_string());
    }
  }
  WEIR_ASSIGN(const auto neighbours, list_neighbours(netlink, link.index));
  for (const auto& [address, link_address] : expected.neighbours) {
    const auto found = std::ranges::find(neighbours, address, &Neighbour::address);
    if (found == neighbours.end() || !found->permanent || found->link_address != link_address) {
      return missing("neighbour " + address.to_string());
    }
  }
  WEIR_ASSIGN(const auto routes, list_routes(netlink));
  for (const auto& wanted : expected.routes) {
    const bool found = std::ranges::any_of(routes, [&wanted](const request::Route& route) {
      return route.destination == wanted.destination &&
             (wanted.index == 0 || route.index == wanted.index);
    });
    if (!found) return missing("route to " + wanted.destination.to_string());
  }
  return {};
}

Result<Link> check_link(Netlink& netlink, const std::string& name, const LinkAddress& address,
                        std::uint32_t mtu) {
  auto link = find_link(netlink, name);
  if (!link) return link;
  if (link->kind != "veth") return Error(Code::kInvalid, "is no veth");
  if (!link->up) return Error(Code::kInvalid, "is down");
  if (link->address != address) return Error(Code::kInvalid, "has another link address");
  if (link->mtu != mtu) return Error(Code::kInvalid, fmt::format("has MTU {}", link->mtu));
  return link;
}

// Of what leaves by this end. The kernel rounds the burst, which the queue's length follows.
Result<bool> is_limited(Netlink& netlink, std::uint32_t index, const RateLimit& wanted) {
  WEIR_ASSIGN(const auto found, find_rate_limit(netlink, index));
  return found && found->bytes_per_second == wanted.bytes_per_second &&
         found->queue_bytes == wanted.queue_bytes;
}

Result<void> check_rate(Netlink& netlink, const Link& link, const Bandwidth& bandwidth) {
  const auto wanted = rate_limit(bandwidth, link.mtu);
  if (!wanted) return {};
  WEIR_ASSIGN(const bool limited, is_limited(netlink, link.index, *wanted));
  if (limited) return {};
  return missing(fmt::format("limit of {} bits per second", bandwidth.rate));
}

Result<bool> mend_rate(Netlink& netlink, const std::string& name, const Bandwidth& bandwidth,
                       std::uint32_t mtu) {
  const auto wanted = rate_limit(bandwidth, mtu);
  if (!wanted) return false;
  WEIR_ASSIGN(const auto link, find_link(netlink, name));
  WEIR_ASSIGN(const bool limited, is_limited(netlink, link.index, *wanted));
  if (limited) return false;
  Batch batch;
  request::limit_rate(batch, link.index, *wanted);
  WEIR_TRY(netlink.run(batch));
  return true;
}

Result<void> check_node(Netlink& node, const Endpoint& endpoint, std::uint32_t mtu) {
  WEIR_ASSIGN(const auto link, check_link(node, endpoint.host_ifname, kGatewayLinkAddress, mtu));
  if (link.index != endpoint.host_ifindex) return Error(Code::kInvalid, "is another link");
  Expected expected;
  for (const auto& address : endpoint.addresses) {
    expected.neighbours.emplace_back(address, endpoint.mac);
    expected.routes.push_back(host_route(endpoint, address, {}));
  }
  WEIR_TRY(check_rate(node, link, endpoint.ingress));
  return check_side(node, link, expected);
}

Result<void> check_pod(const Netns& pod, const Endpoint& endpoint, std::uint32_t mtu) {
  WEIR_ASSIGN(auto netlink, Netlink::open_in(pod));
  WEIR_ASSIGN(const auto link, check_link(netlink, endpoint.ifname, endpoint.mac, mtu));
  if (link.peer_index != endpoint.host_ifindex) {
    return Error(Code::kInvalid, "has another peer");
  }
  Expected expected;
  expected.addresses = endpoint.addresses;
  for (const auto& address : endpoint.addresses) {
    expected.neighbours.emplace_back(gateway(address.family()), kGatewayLinkAddress);
    expected.routes.push_back(pod_route(0, address.family()));
  }
  WEIR_TRY(check_rate(netlink, link, endpoint.egress));
  return check_side(netlink, link, expected);
}

}  // namespace

Mac mac_of(const Address& first) {
  const auto& bytes = first.bytes();
  return {0x0a, 0x58, bytes[12], bytes[13], bytes[14], bytes[15]};
}

Result<void> create_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                             const PodLinkOptions& options) {
  auto batch = node_side(pod, endpoint, options);
  WEIR_TRY(node.run(batch));
  auto configured = configure_pod(pod, endpoint, options.mtu);
  if (!configured) return configured.error().within("in the pod");
  return {};
}

Result<void> check_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                            std::uint32_t mtu) {
  if (auto fault = check_node(node, endpoint, mtu); !fault) {
    return fault.error().within("link " + endpoint.host_ifname);
  }
  if (auto fault = check_pod(pod, endpoint, mtu); !fault) {
    return fault.error().within(fmt::format("{} in the pod", endpoint.ifname));
  }
  return {};
}

// A connection keeps the size that it began with until its route is looked up anew, and its larger
// packets would be cut up in the pod meanwhile, slowly: so the pod's routes change, to and fro.
Result<void> resize_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                             std::uint32_t gso_max_size) {
  WEIR_ASSIGN(auto netlink, Netlink::open_in(pod));
  WEIR_ASSIGN(const auto link, find_link(netlink, endpoint.ifname));
  Batch inside;
  request::set_gso_size(inside, link.index, gso_max_size);
  for (const auto& address : endpoint.addresses) {
    const request::Route passing{.destination = only(gateway(address.family())),
                                 .index = link.index};
    request::add_route(inside, passing);
    request::delete_route(inside, passing);
  }
  WEIR_TRY(netlink.run(inside));
  Batch outside;
  request::set_gso_size(outside, endpoint.host_ifindex, gso_max_size);
  return node.run(outside);
}

Result<bool> mend_rates(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                        std::uint32_t mtu) {
  WEIR_ASSIGN(const bool ingress, mend_rate(node, endpoint.host_ifname, endpoint.ingress, mtu));
  if (endpoint.egress.rate == 0) return ingress;
  WEIR_ASSIGN(auto netlink, Netlink::open_in(pod));
  WEIR_ASSIGN(const bool egress, mend_rate(netlink, endpoint.ifname, endpoint.egress, mtu));
  return ingress || egress;
}

}  // namespace weir
