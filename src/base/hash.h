#pragma once

#include <cstdint>
#include <string_view>

namespace weir {

// FNV-1a of 64 bits: the same on every machine and in every build, and no defence against an
// attacker. `hash`: of what came before.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t hash = 0xcbf29ce484222325ULL) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

static_assert(fnv1a("") == 0xcbf29ce484222325ULL && fnv1a("foobar") == 0x85944171f73967e8ULL);

}  // namespace weir
