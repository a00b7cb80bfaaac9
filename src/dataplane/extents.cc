#include "dataplane/extents.h"

#include <algorithm>
#include <vector>

#include "dataplane/resting_ids.h"

namespace weir {

ExtentSpace::ExtentSpace(std::uint32_t first, std::uint32_t end)
    : end_(end), size_(end > first ? end - first : 0) {
  if (size_ != 0) add_hole(first, end - first);
}

void ExtentSpace::add_hole(std::uint32_t offset, std::uint32_t count) {
  const auto after = holes_.find(offset + count);
  if (after != holes_.end()) {
    count += after->second;
    drop_hole(after);
  }
  const auto next = holes_.lower_bound(offset);
  const auto before = next == holes_.begin() ? holes_.end() : std::prev(next);
  if (before != holes_.end() && before->first + before->second == offset) {
    offset = before->first;
    count += before->second;
    drop_hole(before);
  }
  holes_.emplace(offset, count);
  by_size_.emplace(count, offset);
  free_ += count;
}

void ExtentSpace::drop_hole(Holes::iterator hole) {
  free_ -= hole->second;
  by_size_.erase({hole->second, hole->first});
  holes_.erase(hole);
}

void ExtentSpace::wake(std::uint64_t now_ms) {
  for (; !left_.empty() && left_.front().until_ms <= now_ms; left_.pop_front()) {
    resting_ -= left_.front().count;
    add_hole(left_.front().offset, left_.front().count);
  }
}

std::optional<std::uint32_t> ExtentSpace::take(std::uint32_t count, std::uint64_t now_ms) {
  wake(now_ms);
  const auto fit = by_size_.lower_bound({count, 0});
  if (count == 0 || fit == by_size_.end()) return std::nullopt;
  const std::uint32_t offset = fit->second;
  take_at(offset, count);
  return offset;
}

bool ExtentSpace::take_at(std::uint32_t offset, std::uint32_t count) {
  const auto next = holes_.upper_bound(offset);
  if (next == holes_.begin()) return false;
  const auto hole = std::prev(next);
  const auto [start, length] = *hole;
  if (std::uint64_t{offset} + count > std::uint64_t{start} + length) return false;
  drop_hole(hole);
  if (offset > start) add_hole(start, offset - start);
  if (offset + count < start + length) {
    add_hole(offset + count, start + length - offset - count);
  }
  return true;
}

void ExtentSpace::leave(std::uint32_t offset, std::uint32_t count, std::uint64_t now_ms) {
  if (count == 0) return;
  resting_ += count;
  left_.push_back({offset, count, now_ms + kRestMs});
}

void ExtentSpace::give_back(std::uint32_t offset, std::uint32_t count) {
  if (count != 0) add_hole(offset, count);
}

// A window begins at a hole: what is used before the hole would only have to move as well.
std::optional<std::uint32_t> ExtentSpace::cheapest_window(std::uint32_t count) const {
  std::optional<std::uint32_t> best;
  std::uint64_t most = 0;  // free elements in the window
  std::uint64_t inside = 0;
  auto end = holes_.begin();
  for (auto start = holes_.begin(); start != holes_.end(); ++start) {
    const std::uint64_t limit = std::uint64_t{start->first} + count;
    for (; end != holes_.end() && std::uint64_t{end->first} + end->second <= limit; ++end) {
      inside += end->second;
    }
    const std::uint64_t part = end != holes_.end() && end->first < limit ? limit - end->first : 0;
    if (limit <= end_ && inside + part > most) {
      most = inside + part;
      best = start->first;
    }
    if (end == start) break;  // this hole alone is large enough
    inside -= start->second;
  }
  if (!best || free_ - most < count - most) return std::nullopt;
  return best;
}

void ExtentSpace::close_holes(std::uint32_t offset, std::uint32_t count, std::uint64_t now_ms) {
  const std::uint32_t end = offset + count;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> found;
  auto hole = holes_.upper_bound(offset);
  if (hole != holes_.begin()) --hole;
  for (; hole != holes_.end() && hole->first < end; ++hole) {
    const std::uint32_t from = std::max(hole->first, offset);
    const std::uint32_t to = std::min(hole->first + hole->second, end);
    if (from < to) found.emplace_back(from, to - from);
  }
  for (const auto& [from, length] : found) {
    take_at(from, length);
    leave(from, length, now_ms);
  }
}

}  // namespace weir
