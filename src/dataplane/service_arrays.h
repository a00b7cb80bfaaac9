#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "abi/service.h"
#include "base/result.h"
#include "dataplane/service_tables.h"

namespace weir {

// The mapped arrays, read and written in 64-bit words, so that a reader in the kernel sees all of a
// word or none.
class ServiceArrays {
 public:
  explicit ServiceArrays(ServiceMemory memory) : memory_(std::move(memory)) {}

  const ServiceMemory& memory() const { return memory_; }

  Result<void> reach_set(std::uint32_t set) {
    WEIR_TRY(reach(memory_.sets + set, sizeof(weir_set)));
    return reach(memory_.rings + set, sizeof(weir_ring));
  }
  Result<void> reach_extent(const weir_set& extent) {
    return reach(memory_.backends + extent.offset, extent.count * sizeof(weir_backend));
  }
  Result<void> reach_ring(std::uint32_t ring) {
    return reach(memory_.ring_slots + std::size_t{ring} * ring_words(),
                 ring_words() * sizeof(weir_ring_slots));
  }

  weir_set set(std::uint32_t set) const { return load<weir_set>(memory_.sets + set); }
  // What was written before is seen by who sees this.
  void set_set(std::uint32_t set, const weir_set& value) { store(memory_.sets + set, value); }
  weir_ring ring(std::uint32_t set) const { return load<weir_ring>(memory_.rings + set); }
  void set_ring(std::uint32_t set, const weir_ring& value) { store(memory_.rings + set, value); }

  // Nobody else writes: plain reads.
  std::span<const weir_backend> backends(const weir_set& extent) const {
    return {memory_.backends + extent.offset, extent.count};
  }
  // REQUIRES: the extent has rested.
  void write_backend(std::uint32_t index, const weir_backend& value) {
    struct Words {
      std::uint64_t word[4];
    };
    const auto words = std::bit_cast<Words>(value);
    auto* to = reinterpret_cast<std::uint64_t*>(memory_.backends + index);
    // Of no set while its words are of two backends.
    std::atomic_ref(to[2]).store(0, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (const int i : {0, 1, 3}) {
      std::atomic_ref(to[i]).store(words.word[i], std::memory_order_relaxed);
    }
    std::atomic_ref(to[2]).store(words.word[2], std::memory_order_release);
  }

  // Words of one ring.
  std::size_t ring_words() const { return (std::size_t{memory_.maglev_slots} + 1) / 2; }
  void write_ring_slot(std::uint32_t ring, std::uint32_t slot, std::uint32_t backend) {
    weir_ring_slots& word = memory_.ring_slots[std::size_t{ring} * ring_words() + slot / 2];
    const std::atomic_ref<std::uint32_t> place(word.backend[slot % 2]);
    if (place.load(std::memory_order_relaxed) != backend) {
      place.store(backend, std::memory_order_relaxed);
    }
  }

 private:
  Result<void> reach(const void* from, std::size_t size) {
    return memory_.reach && size != 0 ? memory_.reach(from, size) : Result<void>();
  }
  template <typename Word>
  static Word load(const Word* from) {
    auto* raw = reinterpret_cast<std::uint64_t*>(const_cast<Word*>(from));
    return std::bit_cast<Word>(std::atomic_ref(*raw).load(std::memory_order_relaxed));
  }
  template <typename Word>
  static void store(Word* to, const Word& value) {
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(to))
        .store(std::bit_cast<std::uint64_t>(value), std::memory_order_release);
  }

  ServiceMemory memory_;
};

}  // namespace weir
