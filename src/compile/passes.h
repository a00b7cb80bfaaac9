#pragma once

#include <string>
#include <vector>

#include "compile/compile.h"

namespace weir {

// The passes, in the order in which compile() runs them; each adds its own entries and reports what
// contradicts itself. One file each, named like the function.
void endpoints(const Snapshot& snapshot, const NodeConfig& config, Compiled& out);
void routes(const Snapshot& snapshot, const NodeConfig& config, Compiled& out);
void netns(const Snapshot& snapshot, const NodeConfig& config, Compiled& out);

}  // namespace weir
