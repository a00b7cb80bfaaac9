#include "compile/compile.h"

#include <algorithm>

#include "compile/passes.h"

namespace weir {

Compiled compile(const Snapshot& snapshot, const NodeConfig& config) {
  Compiled out;
  for (const auto pass : {endpoints, routes, netns}) pass(snapshot, config, out);
  std::ranges::sort(out.conflicts);
  return out;
}

}  // namespace weir
