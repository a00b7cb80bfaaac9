#pragma once

#include <cstdint>
#include <optional>

#include "model/endpoint.h"
#include "sys/rate_limit.h"

namespace weir {

// The token bucket for it on a link of this MTU; none: not limited.
std::optional<RateLimit> rate_limit(const Bandwidth& bandwidth, std::uint32_t mtu);

}  // namespace weir
