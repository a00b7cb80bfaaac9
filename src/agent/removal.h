#pragma once

#include <functional>
#include <string>

#include "agent/options.h"

namespace weir {

// Takes from this node what an agent of these options has put there: what the runtime reads, the
// attached programs and their tables, links, routes, sysctls, files. Goes on past what fails. Gives
// a line for each thing, and the first failure at the end. REQUIRES: no agent runs here.
Result<void> remove_from_node(const AgentOptions& options,
                              const std::function<void(const std::string&)>& say);

}  // namespace weir
