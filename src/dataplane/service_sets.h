#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/extents.h"
#include "dataplane/resting_ids.h"
#include "dataplane/service_arrays.h"

namespace weir {

// The sets of backends in the kernel's arrays. A new extent is written beside the old one and
// flipped by one word; nothing is written where the kernel may still be reading.
class ServiceSets {
 public:
  using Clock = std::function<std::uint64_t()>;

  ServiceSets(ServiceMemory memory, Clock clock);

  // --- adoption: all sets, then adopted()
  // kInvalid: no such set, or taken over already.
  Result<void> adopt(std::uint32_t set);
  // Takes over the sets' extents; a set whose extent makes no sense is emptied.
  void adopted();

  // An empty set. kUnavailable: there will be one when it has rested. kKernel: no more fit.
  Result<std::uint32_t> make();
  // REQUIRES: no row names it any more.
  void free(std::uint32_t set);
  // Of a set that no row has ever named.
  void give_back(std::uint32_t set);

  // New content of a set, written but not visible.
  struct Draft {
    std::uint32_t set = 0;
    weir_set extent{};
    bool same = true;    // the set has it already
    bool loses = false;  // a backend that the set has now is not in it
    bool ring = false;   // wanted, where the number of slots asks for one
  };
  // slots: as slots_of() gives them. Errors as of make().
  Result<Draft> draft(std::uint32_t set, std::span<const weir_backend> slots, bool ring);
  void discard(const Draft& draft);
  // Makes it visible. Returns whether anything was written.
  bool publish(const Draft& draft);

  // Without the ring that they should have.
  const std::set<std::uint32_t>& ringless() const { return ringless_; }
  bool rings_resting() const { return !ringless_.empty() && ring_ids_.resting(); }
  // Gives them what is free now. Returns whether there was any.
  bool fill_ringless();

  std::uint64_t sets_in_use() const { return ids_.in_use(); }
  std::uint64_t slots_in_use() const { return space_.in_use(); }
  std::uint64_t rings_in_use() const { return rings_.size(); }

 private:
  Result<std::uint32_t> place(std::uint32_t count);
  void make_room(std::uint32_t count);
  bool move_extent(std::uint32_t set);
  void write_extent(std::uint32_t set, const weir_set& extent, std::span<const weir_backend> slots);
  bool plausible(std::uint32_t set, const weir_set& extent) const;
  bool update_ring(std::uint32_t set, bool wanted);
  void leave_ring(std::uint32_t set);
  void adopt_extent(std::uint32_t set);
  void adopt_ring(std::uint32_t set);
  void fill(std::uint32_t ring, const weir_set& extent);

  ServiceArrays arrays_;
  Clock clock_;
  RestingIds ids_;
  ExtentSpace space_;
  std::uint64_t next_room_ms_ = 0;
  RestingIds ring_ids_;                           // ring number + 1
  std::map<std::uint32_t, std::uint32_t> rings_;  // set -> ring number
  std::set<std::uint32_t> ringless_;
  std::vector<bool> adopted_sets_;
  std::vector<bool> adopted_rings_;
};

}  // namespace weir
