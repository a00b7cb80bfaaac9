#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "sandbox/cni_request.h"

namespace weir::cni {

// What a runtime tells for the capabilities that the conflist names (`runtimeConfig` of the network
// configuration), and addresses that a user asks for (`args`); in the shapes of the CNI
// conventions. Member names match in any case, for runtimes spell them both ways.
std::optional<Failure> take_runtime_config(const nlohmann::json& config, Request& request);

// One more address that is asked for; `where`, for the message.
std::optional<Failure> want_address(const Address& address, const std::string& where,
                                    Request& request);

}  // namespace weir::cni
