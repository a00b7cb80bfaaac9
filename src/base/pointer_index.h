#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

// Hash -> any number of pointers, in 16 bytes a slot: for indexes that must cost little per object.
// Equal hashes do not prove equal keys: the user compares.
template <typename T>
class PointerIndex {
 public:
  void insert(std::uint64_t hash, const T* pointer) {
    if ((used_ + 1) * 8 > slots_.size() * 7) grow();
    place({hash, pointer});
    ++used_;
  }

  // REQUIRES: was inserted.
  void erase(std::uint64_t hash, const T* pointer) {
    std::size_t at = home(hash);
    while (slots_[at].hash != hash || slots_[at].pointer != pointer) at = next(at);
    close_gap(at);
    --used_;
  }

  template <typename Each>
  void for_each(std::uint64_t hash, Each each) const {
    if (slots_.empty()) return;
    for (std::size_t at = home(hash); slots_[at].pointer != nullptr; at = next(at)) {
      if (slots_[at].hash == hash) each(*slots_[at].pointer);
    }
  }

  std::size_t size() const { return used_; }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    const T* pointer = nullptr;  // null: free
  };

  std::size_t home(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

  void place(const Slot& slot) {
    std::size_t at = home(slot.hash);
    while (slots_[at].pointer != nullptr) at = next(at);
    slots_[at] = slot;
  }

  void grow() {
    std::vector<Slot> before(slots_.empty() ? 8 : slots_.size() * 2);
    before.swap(slots_);
    for (const Slot& slot : before) {
      if (slot.pointer != nullptr) place(slot);
    }
  }

  // Moves up what was displaced over the gap, so that every slot stays reachable from its home.
  void close_gap(std::size_t gap) {
    for (std::size_t at = next(gap); slots_[at].pointer != nullptr; at = next(at)) {
      const std::size_t from_home = (at - home(slots_[at].hash)) & (slots_.size() - 1);
      const std::size_t from_gap = (at - gap) & (slots_.size() - 1);
      if (from_home < from_gap) continue;
      slots_[gap] = slots_[at];
      gap = at;
    }
    slots_[gap] = {};
  }

  std::vector<Slot> slots_;  // as many as a power of two
  std::size_t used_ = 0;
};

}  // namespace weir
