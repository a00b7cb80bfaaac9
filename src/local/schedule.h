#pragma once

#include <optional>
#include <string>
#include <vector>

namespace weir::local {

// A pod that has its node.
struct Placed {
  std::string node;
  std::string workload;  // empty: none
};

// The node with the fewest pods of the same workload; among those the one with the fewest pods;
// among those the first. Nothing when there is no node.
std::optional<std::string> choose_node(const std::vector<std::string>& nodes,
                                       const std::vector<Placed>& placed,
                                       const std::string& workload);

}  // namespace weir::local
