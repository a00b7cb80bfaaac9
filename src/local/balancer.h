#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "local/cluster.h"
#include "model/endpoint_slice.h"
#include "model/service.h"
#include "sys/netlink.h"

namespace weir::local {

// Nodes that a load balancer sends an address's packets to, by their addresses.
using BalancerTargets = std::map<Address, std::vector<Address>>;

// All nodes, or with traffic policy Local those where a ready endpoint is. Addresses that a proxy
// serves itself have no entry.
void add_targets(const Service& service, const std::vector<EndpointSlice>& slices,
                 const std::vector<LocalNode>& nodes, BalancerTargets& targets);

// The cluster's load balancer: routes of the world outside, which leads each client (by its
// address) to one of the targets.
class Balancer {
 public:
  // REQUIRES: lives no longer than the cluster's underlay.
  static Result<Balancer> open(const std::string& underlay_netns);
  // Makes the routes what the targets say; what stays is not touched.
  Result<void> update(BalancerTargets targets);

 private:
  explicit Balancer(Netlink netlink) : netlink_(std::move(netlink)) {}

  Netlink netlink_;
  BalancerTargets current_;
};

}  // namespace weir::local
