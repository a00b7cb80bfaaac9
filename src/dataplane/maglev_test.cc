#include "dataplane/maglev.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "abi/rendezvous.h"
#include "abi/settings.h"

namespace weir {
namespace {

constexpr std::uint32_t kPlaces = 16381;

// Of n backends as a cluster would number them.
std::vector<std::uint32_t> hashes_of(std::uint32_t n, std::uint32_t first = 0) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = first; i < first + n; ++i) {
    out.push_back(slot_hash({{0, 0, htonl(0xffff), htonl(0x0af40105 + i)}}, htons(8080), 0));
  }
  return out;
}

std::vector<std::uint32_t> ring_of(const std::vector<std::uint32_t>& hashes) {
  std::vector<std::uint32_t> ring(kPlaces);
  fill_ring(hashes, ring);
  return ring;
}

double fullest(const std::vector<std::uint32_t>& load) {
  double sum = 0;
  for (const auto one : load) sum += one;
  return *std::ranges::max_element(load) / (sum / static_cast<double>(load.size()));
}

// As ring_pick and rendezvous_slot of bpf/lib/service.h.
std::uint32_t winner(const std::vector<std::uint32_t>& hashes, std::uint32_t flow) {
  std::uint32_t best = 0;
  std::uint32_t slot = ~0U;
  for (std::uint32_t i = 0; i < hashes.size(); ++i) {
    const std::uint32_t score = weir_rendezvous(flow, hashes[i]);
    if (slot != ~0U && score <= best) continue;
    best = score;
    slot = i;
  }
  return slot;
}

// Share of what the lost backend had, times the number of backends, that is elsewhere afterwards.
double moved(std::uint32_t n, std::uint32_t lost) {
  const auto before = hashes_of(n);
  auto after = before;
  after.erase(after.begin() + lost);
  const auto old_ring = ring_of(before);
  const auto new_ring = ring_of(after);
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < kPlaces; ++i) count += before[old_ring[i]] != after[new_ring[i]];
  return static_cast<double>(count) * n / kPlaces;
}

TEST(Maglev, LoadIsEven) {
  for (const std::uint32_t n : {1U, 3U, 10U, 100U, 160U}) {
    std::vector<std::uint32_t> load(n);
    for (const std::uint32_t slot : ring_of(hashes_of(n))) ++load[slot];
    EXPECT_LE(fullest(load), 1.01) << n;
  }
}

TEST(Maglev, DependsOnTheBackendsOnly) {
  const auto hashes = hashes_of(7);
  EXPECT_EQ(ring_of(hashes), ring_of(hashes));
  EXPECT_NE(slot_hash({{1, 2, 3, 4}}, 80, 0), slot_hash({{1, 2, 3, 4}}, 81, 0));
  EXPECT_NE(slot_hash({{1, 2, 3, 4}}, 80, 0), slot_hash({{1, 2, 3, 4}}, 80, 1));
  EXPECT_NE(slot_hash({{1, 2, 3, 4}}, 80, 0), slot_hash({{1, 2, 4, 3}}, 80, 0));
  // Nodes of other builds choose by these very numbers.
  EXPECT_EQ(slot_hash({{0, 0, htonl(0xffff), htonl(0x0af40105)}}, htons(8080), 0), 2272994703U);
}

TEST(Maglev, FewBackendsMoveLittleManyMoveMore) {
  for (const std::uint32_t lost : {0U, 1U, 2U}) EXPECT_LE(moved(3, lost), 1.05);
  for (const std::uint32_t lost : {0U, 70U, 199U}) EXPECT_LE(moved(200, lost), 5);
}

TEST(Rendezvous, LosingABackendMovesItsFlowsOnly) {
  for (const std::uint32_t n : {2U, 3U, 10U, 100U, 128U}) {
    const auto before = hashes_of(n);
    auto after = before;
    const std::uint32_t lost = n / 2;
    after.erase(after.begin() + lost);
    std::uint32_t moved_flows = 0;
    constexpr std::uint32_t kFlows = 50'000;
    for (std::uint32_t flow = 0; flow < kFlows; ++flow) {
      const std::uint32_t old_slot = winner(before, flow * 0x9e3779b9U);
      const std::uint32_t new_slot = winner(after, flow * 0x9e3779b9U);
      if (old_slot == lost) {
        ++moved_flows;
      } else {
        ASSERT_EQ(before[old_slot], after[new_slot]);
      }
    }
    EXPECT_NEAR(moved_flows, kFlows / n, 4 * std::sqrt(kFlows / n));
  }
}

// The flows' own scatter is 0.5 % of 100 backends' shares; over 2^28 flows the fullest is at 1.001.
TEST(Rendezvous, LoadIsEven) {
  for (const auto& [n, flows] :
       {std::pair(3U, 1U << 19), std::pair(10U, 1U << 20), std::pair(100U, 1U << 22)}) {
    const auto hashes = hashes_of(n, 1000);
    std::vector<std::uint32_t> load(n);
    for (std::uint32_t flow = 0; flow < flows; ++flow) ++load[winner(hashes, flow)];
    EXPECT_LE(fullest(load), n == 100 ? 1.015 : 1.01) << n;
  }
}

TEST(Rendezvous, AWeightIsSoManySlots) {
  std::vector<std::uint32_t> hashes;
  for (std::uint32_t copy = 0; copy < 7; ++copy) hashes.push_back(slot_hash({{1}}, 80, copy));
  for (std::uint32_t copy = 0; copy < 3; ++copy) hashes.push_back(slot_hash({{2}}, 80, copy));
  constexpr std::uint32_t kFlows = 200'000;
  std::uint32_t heavy = 0;
  for (std::uint32_t flow = 0; flow < kFlows; ++flow) heavy += winner(hashes, flow) < 7;
  EXPECT_NEAR(heavy, kFlows * 0.7, kFlows * 0.005);
}

}  // namespace
}  // namespace weir
