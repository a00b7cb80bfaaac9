#pragma once

#include <cstdint>
#include <span>

#include "abi/service.h"

namespace weir {

// weir_backend.hash: depends on nothing but its arguments, so that all nodes choose alike.
// copy: which of the slots of this backend, from 0.
std::uint32_t slot_hash(const weir_addr& addr, __be16 port_be, std::uint32_t copy);

// Maglev: shares a ring among the slots of a set, known by their hashes. Each gets the same number
// of places, give or take one. ring becomes indices of `hashes`. REQUIRES: ring.size() is a prime;
// hashes is not empty and no longer than ring.
void fill_ring(std::span<const std::uint32_t> hashes, std::span<std::uint32_t> ring);

}  // namespace weir
