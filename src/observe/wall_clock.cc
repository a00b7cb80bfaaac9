#include "observe/wall_clock.h"

#include <cstdlib>
#include <ctime>

namespace weir {
namespace {

std::int64_t now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

WallClock::WallClock()
    : distance_([] { return now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC); }) {}

std::int64_t WallClock::wall_ns(std::uint64_t monotonic_ns) {
  const auto at = static_cast<std::int64_t>(monotonic_ns);
  if (std::llabs(at - measured_at_) >= kAgain) {
    measured_ = distance_();
    measured_at_ = at;
  }
  return at + measured_;
}

}  // namespace weir
