#include "dataplane/maglev.h"

#include <arpa/inet.h>

#include <algorithm>
#include <vector>

namespace weir {
namespace {

constexpr std::uint32_t kFree = ~0U;

std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// The places that a slot would like, most wanted first.
struct Wishes {
  std::uint32_t next;
  std::uint32_t step;
};

Wishes wishes_of(std::uint32_t hash, std::uint32_t places) {
  const std::uint64_t start = mix(hash);
  return {.next = static_cast<std::uint32_t>(start % places),
          .step = static_cast<std::uint32_t>(mix(start) % (places - 1)) + 1};
}

}  // namespace

std::uint32_t slot_hash(const weir_addr& addr, __be16 port_be, std::uint32_t copy) {
  std::uint64_t hash = mix((std::uint64_t{copy} << 16) | ntohs(port_be));
  for (const __be32 word : addr.word) hash = mix(hash + ntohl(word) + 0x9e3779b97f4a7c15ULL);
  return static_cast<std::uint32_t>(hash >> 32);
}

void fill_ring(std::span<const std::uint32_t> hashes, std::span<std::uint32_t> ring) {
  const auto places = static_cast<std::uint32_t>(ring.size());
  std::vector<Wishes> wishes;
  wishes.reserve(hashes.size());
  for (const std::uint32_t hash : hashes) wishes.push_back(wishes_of(hash, places));
  std::ranges::fill(ring, kFree);
  std::uint32_t filled = 0;
  for (std::uint32_t turn = 0; filled < places;
       ++filled, turn = turn + 1 < wishes.size() ? turn + 1 : 0) {
    Wishes& wish = wishes[turn];
    const auto advance = [&] { wish.next = (wish.next + wish.step) % places; };
    while (ring[wish.next] != kFree) advance();
    ring[wish.next] = turn;
    advance();
  }
}

}  // namespace weir
