#include "dataplane/extents.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "dataplane/resting_ids.h"

namespace weir {
namespace {

struct Extent {
  std::uint32_t offset, count;
};

TEST(ExtentSpace, TheSmallestHoleThatFitsIsTaken) {
  ExtentSpace space(1, 101);
  EXPECT_EQ(space.take(10, 0), 1U);
  EXPECT_EQ(space.take(5, 0), 11U);
  EXPECT_EQ(space.take(10, 0), 16U);
  space.leave(11, 5, 0);
  EXPECT_EQ(space.take(3, kRestMs), 11U);
  EXPECT_EQ(space.take(3, kRestMs), 26U);
  EXPECT_EQ(space.take(2, kRestMs), 14U);
  EXPECT_EQ(space.in_use(), 28U);
  EXPECT_FALSE(space.take(0, 0));
  EXPECT_FALSE(space.take(73, 0));
}

TEST(ExtentSpace, WhatWasLeftRests) {
  ExtentSpace space(1, 11);
  ASSERT_EQ(space.take(10, 0), 1U);
  space.leave(1, 10, 500);
  EXPECT_EQ(space.resting(), 10U);
  EXPECT_FALSE(space.take(1, 500 + kRestMs - 1));
  EXPECT_EQ(space.take(1, 500 + kRestMs), 1U);
}

TEST(ExtentSpace, HolesBesideEachOtherAreOne) {
  ExtentSpace space(1, 31);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(space.take(10, 0));
  for (const std::uint32_t offset : {1U, 21U, 11U}) space.leave(offset, 10, 0);
  EXPECT_EQ(space.take(30, kRestMs), 1U);
}

TEST(ExtentSpace, AdoptsOnlyWhatIsFree) {
  ExtentSpace space(1, 31);
  EXPECT_TRUE(space.take_at(5, 10));
  EXPECT_FALSE(space.take_at(14, 2));
  EXPECT_FALSE(space.take_at(0, 1));
  EXPECT_FALSE(space.take_at(25, 7));
  EXPECT_TRUE(space.take_at(15, 16));
  EXPECT_EQ(space.take(4, 0), 1U);
  EXPECT_EQ(space.free(), 0U);
}

TEST(ExtentSpace, TheCheapestWindowHasTheFewestInUse) {
  ExtentSpace space(0, 100);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(space.take(10, 0));
  for (const std::uint32_t offset : {10U, 30U, 50U, 60U, 80U}) space.give_back(offset, 10);
  EXPECT_EQ(space.cheapest_window(40), 30U);  // 10 of it are in use
  EXPECT_EQ(space.cheapest_window(60), std::nullopt);
  space.close_holes(55, 30, 0);
  EXPECT_EQ(space.free(), 30U);
  EXPECT_EQ(space.resting(), 20U);
  EXPECT_EQ(space.take(5, 0), 50U);
}

// Against a naive map of who has what, over random sizes and times.
TEST(ExtentSpace, NeverGivesWhatIsTakenOrRests) {
  std::mt19937 random(7);
  constexpr std::uint32_t kSize = 2000;
  ExtentSpace space(1, kSize);
  std::vector<std::uint64_t> taken_until(kSize, 0);  // ~0: in use
  std::vector<Extent> held;
  std::uint64_t now = 0;
  for (int i = 0; i < 50'000; ++i) {
    now += random() % 100;
    if (random() % 2 == 0 && !held.empty()) {
      const std::size_t which = random() % held.size();
      const Extent gone = held[which];
      held[which] = held.back();
      held.pop_back();
      space.leave(gone.offset, gone.count, now);
      for (std::uint32_t at = gone.offset; at < gone.offset + gone.count; ++at)
        taken_until[at] = now + kRestMs;
    } else {
      const auto count = static_cast<std::uint32_t>(1 + random() % 30);
      const auto offset = space.take(count, now);
      if (!offset) continue;
      for (std::uint32_t at = *offset; at < *offset + count; ++at) {
        ASSERT_LT(at, kSize);
        ASSERT_LE(taken_until[at], now);
        taken_until[at] = ~0ULL;
      }
      held.push_back({*offset, count});
    }
  }
  std::uint64_t used = 0;
  for (const Extent& one : held) used += one.count;
  EXPECT_EQ(space.in_use(), used);
}

TEST(RestingIds, TheLongestRestedComesBackFirst) {
  RestingIds ids(4, 0);
  EXPECT_EQ(ids.take(0), 1U);
  EXPECT_EQ(ids.take(0), 2U);
  ids.leave(2, 10);
  ids.leave(1, 20);
  EXPECT_EQ(ids.take(10), 3U);
  EXPECT_EQ(ids.take(kRestMs + 9), std::nullopt);
  EXPECT_EQ(ids.take(kRestMs + 20), 2U);
  EXPECT_EQ(ids.take(kRestMs + 20), 1U);
  EXPECT_EQ(ids.in_use(), 3U);
}

TEST(RestingIds, SparesRestLongerWhileThereAreOthers) {
  RestingIds ids(100, 2);
  for (std::uint32_t id = 1; id <= 3; ++id) EXPECT_EQ(ids.take(0), id);
  ids.leave(1, 0);
  ids.leave(2, 0);
  EXPECT_EQ(ids.take(kRestMs), 4U);
  ids.leave(3, 0);
  EXPECT_EQ(ids.take(kRestMs), 1U);
}

TEST(RestingIds, AdoptedOnesAreNotGivenAgain) {
  RestingIds ids(10, 0);
  ids.adopt({false, false, true, false, true});
  EXPECT_EQ(ids.in_use(), 2U);
  EXPECT_EQ(ids.take(0), 1U);
  EXPECT_EQ(ids.take(0), 3U);
  EXPECT_EQ(ids.take(0), 5U);
}

}  // namespace
}  // namespace weir
