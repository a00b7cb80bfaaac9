#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace weir {

// How long what the kernel may still be looking at is left alone.
inline constexpr std::uint64_t kRestMs = 1000;

// Gives out numbers from 1 up. One that was left rests, and the one that rested longest comes back
// first, when there are more than `spares` of them.
class RestingIds {
 public:
  // end: the first number that there is not.
  RestingIds(std::uint32_t end, std::size_t spares) : end_(end), spares_(spares) {}

  std::optional<std::uint32_t> take(std::uint64_t now_ms) {
    const bool rested = !left_.empty() && left_.front().second <= now_ms;
    if (rested && (left_.size() > spares_ || next_ >= end_)) {
      const std::uint32_t id = left_.front().first;
      left_.pop_front();
      return id;
    }
    if (next_ >= end_) return std::nullopt;
    return next_++;
  }
  void leave(std::uint32_t id, std::uint64_t now_ms) { left_.emplace_back(id, now_ms + kRestMs); }
  // Nobody has seen it.
  void give_back(std::uint32_t id) { left_.emplace_front(id, 0); }

  // Of an earlier run; used[id]. REQUIRES: nothing was taken yet; used.size() <= end.
  void adopt(const std::vector<bool>& used) {
    for (std::uint32_t id = 1; id < used.size(); ++id) {
      if (!used[id]) continue;
      for (; next_ < id; ++next_) left_.emplace_back(next_, 0);
      next_ = id + 1;
    }
  }

  // It was taken once, if not now.
  bool given(std::uint32_t id) const { return id != 0 && id < next_; }
  // There is one that only rests.
  bool resting() const { return !left_.empty(); }
  std::uint32_t in_use() const { return next_ - 1 - static_cast<std::uint32_t>(left_.size()); }

 private:
  std::uint32_t end_;
  std::size_t spares_;
  std::uint32_t next_ = 1;
  std::deque<std::pair<std::uint32_t, std::uint64_t>> left_;  // number, until when it rests
};

}  // namespace weir
