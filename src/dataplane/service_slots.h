#pragma once

#include <vector>

#include "abi/service.h"
#include "state/service_entries.h"

namespace weir {

// The shares of weights are kept to this precision: a backend of weight n has n slots, n divided by
// the greatest common divisor of all, and smaller when a set had more slots than this.
inline constexpr std::uint32_t kWeightedSlots = 4096;

// The extent of a set as it should be, but for `set`, which is 0: sorted, a backend of weight 0
// left out.
std::vector<weir_backend> slots_of(const std::vector<ServiceBackend>& backends);

// By address (as bytes), then port: the order of an extent. <0, 0, >0.
int compare_place(const weir_backend& a, const weir_backend& b);

}  // namespace weir
