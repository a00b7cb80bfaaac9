#include "local/balancer.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "sys/netns.h"

namespace weir::local {
namespace {

template <typename T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// struct rtnexthop with its one attribute, per target.
std::string next_hops(const std::vector<Address>& targets) {
  std::string bytes;
  for (const auto& target : targets) {
    const auto wire = target.wire();
    rtattr gateway{static_cast<unsigned short>(RTA_LENGTH(wire.size())), RTA_GATEWAY};
    rtnexthop hop{};
    hop.rtnh_len = static_cast<unsigned short>(sizeof hop + RTA_SPACE(wire.size()));
    append(bytes, hop);
    append(bytes, gateway);
    bytes += wire;
  }
  return bytes;
}

rtmsg* add_message(Batch& batch, std::uint16_t type, std::uint16_t flags, const Address& address) {
  auto* message = batch.add<rtmsg>(type, flags, fmt::format("route to {}", address.to_string()));
  message->rtm_family = address.is_v4() ? AF_INET : AF_INET6;
  message->rtm_dst_len = address.is_v4() ? 32 : 128;
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_protocol = RTPROT_STATIC;
  message->rtm_scope = RT_SCOPE_UNIVERSE;
  message->rtm_type = RTN_UNICAST;
  batch.put(RTA_DST, address.wire());
  return message;
}

void set_route(Batch& batch, const Address& address, const std::vector<Address>& targets) {
  add_message(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, address);
  batch.put(RTA_MULTIPATH, next_hops(targets));
}

void delete_route(Batch& batch, const Address& address) {
  add_message(batch, RTM_DELROUTE, 0, address);
  batch.tolerate(ESRCH);
}

std::set<std::string> nodes_with_endpoints(const std::vector<EndpointSlice>& slices,
                                           Family family) {
  std::set<std::string> nodes;
  for (const auto& slice : slices) {
    for (const auto& endpoint : slice.endpoints) {
      if (slice.family == family && endpoint.ready) nodes.insert(endpoint.node);
    }
  }
  return nodes;
}

}  // namespace

void add_targets(const Service& service, const std::vector<EndpointSlice>& slices,
                 const std::vector<LocalNode>& nodes, BalancerTargets& targets) {
  for (const auto& ingress : service.ingress) {
    if (ingress.proxy) continue;
    const auto family = ingress.address.family();
    const auto with_endpoints = nodes_with_endpoints(slices, family);
    auto& list = targets[ingress.address];
    for (const auto& node : nodes) {
      if (service.external_policy == TrafficPolicy::kLocal && !with_endpoints.contains(node.name)) {
        continue;
      }
      const auto address = std::ranges::find(node.addresses, family, &Address::family);
      if (address != node.addresses.end()) list.push_back(*address);
    }
  }
}

Result<Balancer> Balancer::open(const std::string& underlay_netns) {
  WEIR_ASSIGN(const auto netns, Netns::open(underlay_netns));
  WEIR_ASSIGN(auto netlink, Netlink::open_in(netns));
  return Balancer(std::move(netlink));
}

Result<void> Balancer::update(BalancerTargets targets) {
  std::erase_if(targets, [](const auto& entry) { return entry.second.empty(); });
  Batch batch;
  for (const auto& [address, nodes] : current_) {
    if (!targets.contains(address)) delete_route(batch, address);
  }
  for (const auto& [address, nodes] : targets) {
    const auto before = current_.find(address);
    if (before == current_.end() || before->second != nodes) set_route(batch, address, nodes);
  }
  current_ = std::move(targets);
  if (batch.empty()) return {};
  return netlink_.run(batch);
}

}  // namespace weir::local
