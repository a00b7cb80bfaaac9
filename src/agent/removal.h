#pragma once

#include <string>
#include <vector>

#include "agent/options.h"

namespace weir {

// The node's sysctls as they are, into the state folder: what removal gives back. Only the first
// time: later ones find Weir's own.
Result<void> remember_sysctls(const std::string& state_dir, const std::vector<std::string>& links);

// Takes from this node what an agent of these options has put there: what the runtime reads, the
// attached programs and their tables, links, routes, sysctls, files. Goes on past what fails. Gives
// a line for each thing, and the first failure at the end. REQUIRES: no agent runs here.
Result<void> remove_from_node(const AgentOptions& options,
                              const std::function<void(const std::string&)>& say);

}  // namespace weir
