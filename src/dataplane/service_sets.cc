#include "dataplane/service_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "abi/rendezvous.h"
#include "dataplane/maglev.h"
#include "dataplane/service_slots.h"

namespace weir {
namespace {

bool loses_one(std::span<const weir_backend> before, std::span<const weir_backend> after) {
  auto has = after.begin();
  for (const weir_backend& one : before) {
    while (has != after.end() && compare_place(*has, one) < 0) ++has;
    if (has == after.end() || compare_place(*has, one) != 0) return true;
  }
  return false;
}

bool same_content(std::span<const weir_backend> now, std::span<const weir_backend> slots,
                  std::uint32_t set) {
  return std::ranges::equal(now, slots, [set](const weir_backend& a, weir_backend b) {
    b.set = set;
    return std::memcmp(&a, &b, sizeof a) == 0;
  });
}

}  // namespace

ServiceSets::ServiceSets(ServiceMemory memory, Clock clock)
    : arrays_(std::move(memory)),
      clock_(std::move(clock)),
      ids_(arrays_.memory().set_capacity, 0),
      space_(1, arrays_.memory().backend_capacity),
      ring_ids_(arrays_.memory().ring_capacity + 1, 0) {}

// --- adoption ------------------------------------------------------------------------------------

bool ServiceSets::plausible(std::uint32_t set, const weir_set& extent) const {
  return std::ranges::all_of(arrays_.backends(extent),
                             [set](const weir_backend& one) { return one.set == set; });
}

Result<void> ServiceSets::adopt(std::uint32_t set) {
  if (set == 0 || set >= arrays_.memory().set_capacity) {
    return Error(Code::kInvalid, fmt::format("there is no set {}", set));
  }
  adopted_sets_.resize(std::max<std::size_t>(adopted_sets_.size(), set + 1));
  if (adopted_sets_[set]) return Error(Code::kInvalid, fmt::format("set {} is another's", set));
  WEIR_TRY(arrays_.reach_set(set));
  adopted_sets_[set] = true;
  return {};
}

void ServiceSets::adopt_extent(std::uint32_t set) {
  const weir_set extent = arrays_.set(set);
  if (extent.count == 0) return leave_ring(set);
  const bool free = space_.take_at(extent.offset, extent.count);
  if (free && arrays_.reach_extent(extent) && plausible(set, extent)) return adopt_ring(set);
  if (free) space_.give_back(extent.offset, extent.count);
  arrays_.set_set(set, {});
  leave_ring(set);
}

void ServiceSets::adopt_ring(std::uint32_t set) {
  const weir_ring ring = arrays_.ring(set);
  const std::size_t number = ring.offset / arrays_.ring_words();
  adopted_rings_.resize(std::size_t{arrays_.memory().ring_capacity} + 1);
  const bool sound = ring.set == set && ring.offset % arrays_.ring_words() == 0 &&
                     number < arrays_.memory().ring_capacity && !adopted_rings_[number + 1];
  if (!sound || !arrays_.reach_ring(static_cast<std::uint32_t>(number))) return leave_ring(set);
  adopted_rings_[number + 1] = true;
  rings_[set] = static_cast<std::uint32_t>(number);
}

// In the order of the extents, which leaves few holes at any time.
void ServiceSets::adopted() {
  std::vector<std::uint32_t> sets;
  for (std::uint32_t set = 1; set < adopted_sets_.size(); ++set) {
    if (adopted_sets_[set]) sets.push_back(set);
  }
  std::ranges::sort(sets, {}, [this](std::uint32_t set) { return arrays_.set(set).offset; });
  for (const std::uint32_t set : sets) adopt_extent(set);
  ids_.adopt(std::exchange(adopted_sets_, {}));
  ring_ids_.adopt(std::exchange(adopted_rings_, {}));
}

// --- sets ----------------------------------------------------------------------------------------

Result<std::uint32_t> ServiceSets::make() {
  const auto set = ids_.take(clock_());
  if (!set) {
    return Error(ids_.resting() ? Code::kUnavailable : Code::kKernel,
                 fmt::format("all {} sets of backends are in use: raise --service-max",
                             arrays_.memory().set_capacity - 1));
  }
  if (auto reached = arrays_.reach_set(*set); !reached) {
    ids_.give_back(*set);
    return reached.error();
  }
  // An earlier run may have left something there that it never got to show.
  arrays_.set_ring(*set, {});
  arrays_.set_set(*set, {});
  return *set;
}

void ServiceSets::free(std::uint32_t set) {
  const weir_set extent = arrays_.set(set);
  arrays_.set_set(set, {});
  leave_ring(set);
  ringless_.erase(set);
  space_.leave(extent.offset, extent.count, clock_());
  ids_.leave(set, clock_());
}

void ServiceSets::give_back(std::uint32_t set) {
  const weir_set extent = arrays_.set(set);
  arrays_.set_set(set, {});
  leave_ring(set);
  ringless_.erase(set);
  space_.give_back(extent.offset, extent.count);
  ids_.give_back(set);
}

// --- content -------------------------------------------------------------------------------------

Result<ServiceSets::Draft> ServiceSets::draft(std::uint32_t set,
                                              std::span<const weir_backend> slots, bool ring) {
  const auto now = arrays_.backends(arrays_.set(set));
  Draft out{.set = set, .ring = ring};
  out.same = same_content(now, slots, set);
  if (out.same) return out;
  out.loses = loses_one(now, slots);
  out.extent.count = static_cast<std::uint32_t>(slots.size());
  if (slots.empty()) return out;
  WEIR_ASSIGN(out.extent.offset, place(out.extent.count));
  if (auto reached = arrays_.reach_extent(out.extent); !reached) {
    discard(out);
    return reached.error();
  }
  write_extent(set, out.extent, slots);
  return out;
}

void ServiceSets::write_extent(std::uint32_t set, const weir_set& extent,
                               std::span<const weir_backend> slots) {
  for (std::uint32_t i = 0; i < extent.count; ++i) {
    weir_backend one = slots[i];
    one.set = set;
    arrays_.write_backend(extent.offset + i, one);
  }
}

void ServiceSets::discard(const Draft& draft) {
  if (!draft.same) space_.give_back(draft.extent.offset, draft.extent.count);
}

bool ServiceSets::publish(const Draft& draft) {
  if (draft.same) return update_ring(draft.set, draft.ring);
  const weir_set left = arrays_.set(draft.set);
  arrays_.set_set(draft.set, draft.extent);
  update_ring(draft.set, draft.ring);  // until then the ring leads into what was left
  space_.leave(left.offset, left.count, clock_());
  return true;
}

Result<std::uint32_t> ServiceSets::place(std::uint32_t count) {
  if (const auto offset = space_.take(count, clock_())) return *offset;
  const bool enough = space_.free() + space_.resting() >= count;
  if (enough && clock_() >= next_room_ms_) {
    make_room(count);
    next_room_ms_ = clock_() + 2 * kRestMs;
  }
  return Error(enough && space_.resting() != 0 ? Code::kUnavailable : Code::kKernel,
               fmt::format("{} more slots for backends are needed, fewer of the {} are free: raise "
                           "--backend-max",
                           count, arrays_.memory().backend_capacity - 1));
}

// Enough is free, but in pieces: extents move out of a window, which can be used when it has
// rested.
void ServiceSets::make_room(std::uint32_t count) {
  const auto window = space_.cheapest_window(count);
  if (!window || !arrays_.reach_extent({.offset = *window, .count = count})) return;
  space_.close_holes(*window, count, clock_());
  const std::uint32_t end = *window + count;
  for (std::uint32_t at = *window; at < end;) {
    const std::uint32_t set = arrays_.backends({.offset = at, .count = 1}).front().set;
    const weir_set extent = set != 0 && ids_.given(set) ? arrays_.set(set) : weir_set{};
    const bool here = extent.offset <= at && at < extent.offset + extent.count;
    if (here && !move_extent(set)) return;
    at = here ? extent.offset + extent.count : at + 1;
  }
}

bool ServiceSets::move_extent(std::uint32_t set) {
  const weir_set from = arrays_.set(set);
  const auto offset = space_.take(from.count, clock_());
  if (!offset) return false;
  const weir_set to{.offset = *offset, .count = from.count};
  if (!arrays_.reach_extent(to)) return false;
  write_extent(set, to, arrays_.backends(from));
  publish({.set = set, .extent = to, .same = false, .ring = rings_.contains(set)});
  return true;
}

// --- rings ---------------------------------------------------------------------------------------

bool ServiceSets::update_ring(std::uint32_t set, bool wanted) {
  const weir_set extent = arrays_.set(set);
  const auto own = rings_.find(set);
  ringless_.erase(set);
  if (!wanted || extent.count <= WEIR_RENDEZVOUS_MAX) {
    if (own == rings_.end()) return false;
    leave_ring(set);
    return true;
  }
  if (extent.count > arrays_.memory().maglev_slots) {
    leave_ring(set);
    ringless_.insert(set);
    return false;
  }
  if (own != rings_.end()) {
    fill(own->second, extent);
    return false;
  }
  const auto number = ring_ids_.take(clock_());
  if (!number || !arrays_.reach_ring(*number - 1)) {
    if (number) ring_ids_.give_back(*number);
    ringless_.insert(set);
    return false;
  }
  fill(*number - 1, extent);
  rings_[set] = *number - 1;
  const auto offset = static_cast<std::uint32_t>((*number - 1) * arrays_.ring_words());
  arrays_.set_ring(set, {.offset = offset, .set = set});
  return true;
}

bool ServiceSets::fill_ringless() {
  bool any = false;
  const std::vector<std::uint32_t> sets(ringless_.begin(), ringless_.end());
  for (const std::uint32_t set : sets) any |= update_ring(set, true);
  return any;
}

void ServiceSets::leave_ring(std::uint32_t set) {
  arrays_.set_ring(set, {});
  const auto own = rings_.find(set);
  if (own == rings_.end()) return;
  ring_ids_.leave(own->second + 1, clock_());
  rings_.erase(own);
}

void ServiceSets::fill(std::uint32_t ring, const weir_set& extent) {
  std::vector<std::uint32_t> hashes;
  hashes.reserve(extent.count);
  for (const weir_backend& one : arrays_.backends(extent)) hashes.push_back(one.hash);
  std::vector<std::uint32_t> slots(arrays_.memory().maglev_slots);
  fill_ring(hashes, slots);
  for (std::uint32_t i = 0; i < slots.size(); ++i) {
    arrays_.write_ring_slot(ring, i, extent.offset + slots[i]);
  }
}

}  // namespace weir
