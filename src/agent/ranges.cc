#include "agent/ranges.h"

#include <fmt/format.h>

namespace weir {
namespace {

bool overlap(const Cidr& a, const Cidr& b) {
  return a.family() == b.family() && (a.contains(b.address()) || b.contains(a.address()));
}

}  // namespace

Result<void> check_ranges(const std::vector<Cidr>& pods, const std::vector<Cidr>& services,
                          const std::vector<Address>& node) {
  for (const Cidr& range : pods) {
    for (const Cidr& service : services) {
      if (!overlap(range, service)) continue;
      return Error(
          Code::kInvalid,
          fmt::format("the node's pod range {} (spec.podCIDRs) and the range of ClusterIPs {} "
                      "(service-cidr) overlap: one of them must be another",
                      range.to_string(), service.to_string()));
    }
    for (const Address& address : node) {
      if (!range.contains(address)) continue;
      return Error(Code::kInvalid,
                   fmt::format("the node's address {} is in its pod range {} (spec.podCIDRs): give "
                               "pods a range that is not the nodes' (--cluster-cidr)",
                               address.to_string(), range.to_string()));
    }
  }
  return {};
}

}  // namespace weir
