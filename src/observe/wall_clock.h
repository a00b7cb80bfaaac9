#pragma once

#include <cstdint>
#include <functional>

namespace weir {

// CLOCK_MONOTONIC -> time since 1970. The distance of the two clocks is measured anew when event
// time has moved kAgain on, so that setting the wall clock is followed and a burst costs one call.
class WallClock {
 public:
  static constexpr std::int64_t kAgain = 100'000'000;  // ns
  using Distance = std::function<std::int64_t()>;      // wall - monotonic, in ns

  WallClock();
  explicit WallClock(Distance distance) : distance_(std::move(distance)) {}

  std::int64_t wall_ns(std::uint64_t monotonic_ns);

 private:
  Distance distance_;
  std::int64_t measured_ = 0;
  std::int64_t measured_at_ = INT64_MIN / 2;
};

}  // namespace weir
