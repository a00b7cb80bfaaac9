#pragma once

#include <cstdint>

namespace weir::local {

// The state machine of a readiness probe: not ready until success_threshold answers in a row are
// good, ready until failure_threshold in a row are bad.
class Readiness {
 public:
  Readiness(std::uint32_t success_threshold, std::uint32_t failure_threshold)
      : success_threshold_(success_threshold), failure_threshold_(failure_threshold) {}

  // True: ready() has changed.
  bool answer(bool good) {
    count_ = good == last_ ? count_ + 1 : 1;
    last_ = good;
    const bool decided = count_ >= (good ? success_threshold_ : failure_threshold_);
    if (!decided || ready_ == good) return false;
    ready_ = good;
    return true;
  }
  bool ready() const { return ready_; }

 private:
  std::uint32_t success_threshold_;
  std::uint32_t failure_threshold_;
  std::uint32_t count_ = 0;
  bool last_ = false;
  bool ready_ = false;
};

}  // namespace weir::local
