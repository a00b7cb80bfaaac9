#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "sandbox/cni_request.h"

namespace weir::cni {

// What a runtime tells for the capabilities that the conflist names: `runtimeConfig` of the network
// configuration, in the shapes of the CNI conventions. Member names match in any case, for
// runtimes spell them both ways.
std::optional<Failure> take_runtime_config(const nlohmann::json& config, Request& request);

}  // namespace weir::cni
