#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "abi/sweep.h"
#include "base/result.h"
#include "dataplane/programs.h"

namespace weir {

inline constexpr weir_sweep kIdleLimits = {
    .tcp_s = 8 * 3600,
    .tcp_opening_s = 60,
    .closed_s = 10,
    .unreplied_s = 30,
    .one_answer_s = 5,
    .stream_s = 180,
    .tell_services = 0,
    .closed_translated_s = 20,  // of the 60 in TIME_WAIT
};
// For a table that is a quarter full.
inline constexpr weir_sweep kBusyLimits = [] {
  weir_sweep limits = kIdleLimits;
  limits.closed_translated_s = limits.closed_s;
  return limits;
}();
// For a full table: the dead and the unanswered first.
inline constexpr weir_sweep kHurriedLimits = {
    .tcp_s = 8 * 3600,
    .tcp_opening_s = 5,
    .closed_s = 0,
    .unreplied_s = 2,
    .one_answer_s = 1,
    .stream_s = 60,
    .tell_services = 0,
    .closed_translated_s = 0,
};

// Nothing ends: on_ended gets a NEW event for each connection through a Service that is not over.
inline constexpr weir_sweep kTellServices = {
    .tcp_s = 0,
    .tcp_opening_s = 0,
    .closed_s = 0,
    .unreplied_s = 0,
    .one_answer_s = 0,
    .stream_s = 0,
    .tell_services = 1,
    .closed_translated_s = 0,
};

// One pass over the connection table, in the kernel. on_ended gets a struct weir_event per
// connection that left. Blocks for the length of the pass.
Result<void> run_sweep(const Programs& programs, const Maps& maps, const weir_sweep& limits,
                       const std::function<void(std::span<const std::byte>)>& on_ended);

}  // namespace weir
