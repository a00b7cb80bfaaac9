#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/pointer_index.h"
#include "compile/ranges.h"
#include "compile/service_frontends.h"
#include "state/packed_table.h"

namespace weir {

// Who wants to be reached where, among Services and this node's pods with hostPorts, and who is:
// the earlier FrontendKind; then the Service created first, or the pod that does not terminate, and
// any pod before a sandbox that no Pod object is known of (without namespace); then the first by
// name. Pointers are those of the store's rows.
class ServiceClaims {
 public:
  using ServiceRow = PackedRow<Service>;

  // `ranges` lives as long.
  ServiceClaims(bool external_ips, const NodeRanges& ranges)
      : external_ips_(external_ips), ranges_(ranges) {}

  // Those who want a place of his, too, he himself among them.
  struct Rivals {
    std::vector<const ServiceRow*> services;
    std::vector<const Pod*> pods;
  };

  // `value` is what `row` holds, or held before it changed.
  void add(const Service& value, const ServiceRow* row);
  void add(const Pod& value, const Pod* row);
  void remove(const Service& value, const ServiceRow* row);
  void remove(const Pod& value, const Pod* row);
  Rivals rivals(const Service& service) const { return rivals(claims_of(service)); }
  Rivals rivals(const Pod& pod) const { return rivals(weir::claims_of(pod)); }

  // "lies in pod range 10.244.0.0/24", why nobody gets the place by such a claim.
  std::optional<std::string> refused(const Claim& claim) const;
  // "service shop/cart" or "pod shop/cart-0", who has the place instead; none: it is his.
  std::optional<std::string> preferred(const Claim& claim, const Service& claimant) const;
  std::optional<std::string> preferred(const Claim& claim, const Pod& claimant) const;

 private:
  struct Candidate;

  std::vector<Claim> claims_of(const Service& service) const {
    return weir::claims_of(service, external_ips_);
  }
  Rivals rivals(const std::vector<Claim>& claims) const;
  // REQUIRES: it was added for the one who asks.
  bool is_alone(const Claim& place) const;
  std::optional<std::string> better(const Claim& claim, const Candidate& claimant) const;
  std::optional<Candidate> best(const Claim& place) const;

  const bool external_ips_;
  const NodeRanges& ranges_;
  PointerIndex<ServiceRow> services_;  // by Claim::hash
  PointerIndex<Pod> pods_;
};

}  // namespace weir
