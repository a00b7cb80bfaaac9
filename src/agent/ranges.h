#pragma once

#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace weir {

// A node's pod ranges against the ranges of ClusterIPs and the node's own addresses. kInvalid: an
// address would mean two things; names both and the remedy.
Result<void> check_ranges(const std::vector<Cidr>& pods, const std::vector<Cidr>& services,
                          const std::vector<Address>& node);

}  // namespace weir
