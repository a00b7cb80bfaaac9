#include "agent/path_search.h"

#include <gtest/gtest.h>

#include <optional>

namespace weir {
namespace {

using State = PathSearch::State;

struct Path {
  std::uint32_t carries;                         // what comes through
  std::optional<std::uint32_t> told = {};        // by a router, of what does not
  std::optional<std::uint32_t> loses_once = {};  // the first of that size
  bool answers = true;
};

struct Found {
  State state;
  std::uint32_t size;
  int rounds;
};

Found search(Path path, std::uint32_t least = 1280, std::uint32_t most = 1500) {
  PathSearch search(least, most);
  int rounds = 0;
  while (search.state() == State::kAsking && rounds < 50) {
    ++rounds;
    for (const std::uint32_t size : search.next()) {
      EXPECT_GE(size, least);
      EXPECT_LE(size, most);
      if (path.loses_once == size) {
        path.loses_once.reset();
      } else if (path.answers && size <= path.carries) {
        search.came_through(size);
      } else if (path.told) {
        search.too_large(*path.told);
      }
    }
    search.end_round();
  }
  return {search.state(), search.size(), rounds};
}

TEST(PathSearch, AWholePathTakesOneRound) {
  const Found found = search({.carries = 1500});
  EXPECT_EQ(found.state, State::kWhole);
  EXPECT_EQ(found.rounds, 1);
}

TEST(PathSearch, ALostPacketIsNoSmallerPath) {
  EXPECT_EQ(search({.carries = 1500, .loses_once = 1500}).state, State::kWhole);
}

TEST(PathSearch, WhatARouterSaysIsTriedAndTaken) {
  const Found found = search({.carries = 1400, .told = 1400});
  EXPECT_EQ(found.state, State::kSmaller);
  EXPECT_EQ(found.size, 1400U);
  EXPECT_EQ(found.rounds, 2);
}

TEST(PathSearch, ARouterThatKnowsOnlyItsOwnLinkIsNotTheLastWord) {
  const Found found = search({.carries = 1350, .told = 1400});
  EXPECT_EQ(found.state, State::kSmaller);
  EXPECT_EQ(found.size, 1350U);
}

TEST(PathSearch, ARouterThatLiesIsIgnored) {
  for (const std::uint32_t told : {0U, 68U, 1279U, 1500U, 9000U}) {
    const Found found = search({.carries = 1400, .told = told});
    EXPECT_EQ(found.state, State::kSmaller) << told;
    EXPECT_EQ(found.size, 1400U) << told;
  }
}

TEST(PathSearch, WithoutAWordEachSizeIsFound) {
  for (std::uint32_t carries = 1280; carries < 1500; ++carries) {
    const Found found = search({.carries = carries});
    EXPECT_EQ(found.state, State::kSmaller) << carries;
    EXPECT_EQ(found.size, carries);
    EXPECT_LE(found.rounds, 6) << carries;
  }
  for (const std::uint32_t carries : {576U, 577U, 1500U, 8999U}) {
    const Found found = search({.carries = carries}, 576, 9000);
    EXPECT_EQ(found.size, carries);
    EXPECT_LE(found.rounds, 7) << carries;
  }
}

TEST(PathSearch, APeerThatAnswersNothingTellsNothing) {
  EXPECT_EQ(search({.carries = 1500, .answers = false}).state, State::kSilent);
  EXPECT_EQ(search({.carries = 1000}).state, State::kSilent);
}

TEST(PathSearch, WhatCameThroughIsMoreThanWhatARouterSays) {
  PathSearch search(1280, 1500);
  search.next();
  EXPECT_TRUE(search.too_large(1400));
  EXPECT_FALSE(search.too_large(1400));
  search.came_through(1500);  // by another way
  EXPECT_EQ(search.state(), State::kWhole);
}

TEST(PathSearch, NothingLiesBetweenNeighbours) {
  EXPECT_EQ(search({.carries = 1280}, 1280, 1281).size, 1280U);
  EXPECT_EQ(search({.carries = 1280}, 1280, 1280).state, State::kWhole);
}

TEST(PathSearch, ARoundIsOverWhenAllIsSaid) {
  PathSearch search(1280, 1500);
  search.next();
  EXPECT_FALSE(search.round_is_over());
  search.too_large(1400);
  EXPECT_TRUE(search.round_is_over());
  search.end_round();
  EXPECT_EQ(search.next(), std::vector<std::uint32_t>{1400});
  EXPECT_FALSE(search.round_is_over());
  search.came_through(1400);
  EXPECT_TRUE(search.round_is_over());
  EXPECT_EQ(search.state(), State::kSmaller);
}

}  // namespace
}  // namespace weir
