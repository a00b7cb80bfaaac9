#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sandbox/pool.h"

namespace weir {

// What STATE/pools.json keeps over a restart of the agent.
struct PoolState {
  std::uint32_t next_handle = 1;  // all handles given so far are lower
  std::vector<FreedAddress> resting;
};

// CLOCK_BOOTTIME: does not jump when the wall clock is set, and survives the program but not the
// machine.
std::uint64_t boot_time_ns();

// An absent file is an empty state. Times of an earlier boot mean nothing here: those addresses
// begin their rest anew.
Result<PoolState> load_pool_state(const std::string& path);
Result<PoolState> parse_pool_state(std::string_view text);  // of such a file
Result<void> save_pool_state(const std::string& path, const PoolState& state);

}  // namespace weir
