#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "model/endpoint.h"
#include "sandbox/cni_request.h"

namespace weir::cni {

// ADD's result in the shape of `version`; ours comes after what `previous` (a prevResult of that
// version, or empty) has.
std::expected<std::string, Failure> add_result(const std::string& version, const Endpoint& endpoint,
                                               std::uint32_t mtu, const std::string& previous);

// CHECK: does prevResult still tell what we gave?
std::optional<Failure> previous_fault(const Endpoint& endpoint, const std::string& previous);

}  // namespace weir::cni
