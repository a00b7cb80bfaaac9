#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace weir {

// The free space of an array that is given out in extents. The smallest hole that is large enough
// is taken; holes beside each other are one; what was left rests for kRestMs. All in O(log n).
class ExtentSpace {
 public:
  // Elements [first, end).
  ExtentSpace(std::uint32_t first, std::uint32_t end);

  std::optional<std::uint32_t> take(std::uint32_t count, std::uint64_t now_ms);
  // Of an earlier run; false: not all of it is free.
  bool take_at(std::uint32_t offset, std::uint32_t count);
  void leave(std::uint32_t offset, std::uint32_t count, std::uint64_t now_ms);
  // Nobody has seen it.
  void give_back(std::uint32_t offset, std::uint32_t count);

  std::uint64_t in_use() const { return size_ - free_ - resting_; }
  std::uint64_t free() const { return free_; }
  std::uint64_t resting() const { return resting_; }
  std::uint32_t largest_hole() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }

  // Where `count` elements in a row would be free if the fewest used ones made room; nullopt: they
  // could go nowhere. Looks at all holes.
  std::optional<std::uint32_t> cheapest_window(std::uint32_t count) const;
  // Holes in [offset, offset + count) rest, so that nothing is put there now.
  void close_holes(std::uint32_t offset, std::uint32_t count, std::uint64_t now_ms);

 private:
  struct Resting {
    std::uint32_t offset, count;
    std::uint64_t until_ms;
  };
  using Holes = std::map<std::uint32_t, std::uint32_t>;  // offset -> count

  void wake(std::uint64_t now_ms);
  void add_hole(std::uint32_t offset, std::uint32_t count);
  void drop_hole(Holes::iterator hole);

  std::uint32_t end_;
  std::uint64_t size_;
  std::uint64_t free_ = 0;
  std::uint64_t resting_ = 0;
  Holes holes_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> by_size_;  // count, offset
  std::deque<Resting> left_;
};

}  // namespace weir
