#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "case.h"

namespace weir::cases {

// The ways to play a case. Wherever they pass an expectation it must hold, and all end alike: the
// maps depend on the state, not on the path.
enum class Order {
  kForwards,    // line by line
  kReversed,    // what there is in the end, in reverse
  kSplit,       // object by object
  kSquashed,    // all at once
  kDuplicates,  // each line twice
  kRestart,     // with a new agent after each line
  kUndone,      // forwards, then all deleted in reverse: nothing is left
};
inline constexpr Order kOrders[] = {Order::kForwards, Order::kReversed,   Order::kSplit,
                                    Order::kSquashed, Order::kDuplicates, Order::kRestart,
                                    Order::kUndone};
std::string_view order_name(Order order);

// What went wrong; empty: nothing. `seed` decides which writes fail.
std::vector<std::string> play(const Case& played, Order order, std::uint32_t seed);

}  // namespace weir::cases
