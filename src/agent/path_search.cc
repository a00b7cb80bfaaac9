#include "agent/path_search.h"

#include <algorithm>

namespace weir {
namespace {

constexpr int kTries = 3;  // one packet may be lost without a reason
constexpr std::uint32_t kAtOnce = 16;

}  // namespace

std::vector<std::uint32_t> PathSearch::next() {
  round_.clear();
  if (too_large_ != 0) {
    const std::uint32_t gap = too_large_ - largest_;
    const std::uint32_t count = std::min(kAtOnce, gap - 1);
    for (std::uint32_t i = 1; i <= count; ++i) round_.push_back(largest_ + i * gap / (count + 1));
    return round_;
  }
  if (++tries_ > 1) round_.push_back(least_);
  round_.push_back(candidate_);
  return round_;
}

void PathSearch::came_through(std::uint32_t size) {
  largest_ = std::max(largest_, size);
  if (state_ != State::kAsking || size < candidate_) return;
  state_ = largest_ == most_ ? State::kWhole : State::kSmaller;
}

// A later link may be smaller still.
bool PathSearch::too_large(std::uint32_t mtu) {
  if (state_ != State::kAsking || mtu >= candidate_ || mtu < std::max(least_, largest_)) {
    return false;
  }
  candidate_ = mtu;
  tries_ = 0;
  too_large_ = 0;
  return true;
}

bool PathSearch::round_is_over() const {
  return state_ != State::kAsking || (too_large_ == 0 && tries_ == 0) ||
         (too_large_ != 0 && !round_.empty() && largest_ >= round_.back());
}

void PathSearch::end_round() {
  if (state_ != State::kAsking) return;
  if (too_large_ != 0) return narrow();
  if (tries_ < kTries) return;
  if (largest_ < least_) {
    state_ = State::kSilent;
  } else {
    too_large_ = candidate_;
    if (too_large_ - largest_ <= 1) state_ = State::kSmaller;
  }
}

void PathSearch::narrow() {
  const auto lost = std::ranges::upper_bound(round_, largest_);
  if (lost != round_.end()) too_large_ = *lost;
  if (too_large_ - largest_ <= 1) state_ = State::kSmaller;
}

}  // namespace weir
