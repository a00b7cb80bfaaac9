#include "local/schedule.h"

#include <tuple>

namespace weir::local {

std::optional<std::string> choose_node(const std::vector<std::string>& nodes,
                                       const std::vector<Placed>& placed,
                                       const std::string& workload) {
  std::optional<std::string> best;
  std::tuple<int, int> best_load;
  for (const auto& node : nodes) {
    int alike = 0;
    int all = 0;
    for (const auto& pod : placed) {
      if (pod.node != node) continue;
      ++all;
      if (!workload.empty() && pod.workload == workload) ++alike;
    }
    const std::tuple load(alike, all);
    if (!best || load < best_load) {
      best = node;
      best_load = load;
    }
  }
  return best;
}

}  // namespace weir::local
