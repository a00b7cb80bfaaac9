#include "base/pointer_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>

namespace weir {
namespace {

TEST(PointerIndex, HoldsWhatAMultimapHolds) {
  std::mt19937 random(1);
  std::array<int, 40> objects{};
  PointerIndex<int> index;
  std::multimap<std::uint64_t, const int*> model;
  const auto check = [&](std::uint64_t hash) {
    std::vector<const int*> found;
    index.for_each(hash, [&found](const int& object) { found.push_back(&object); });
    std::vector<const int*> expected;
    const auto [first, last] = model.equal_range(hash);
    std::for_each(first, last, [&expected](const auto& row) { expected.push_back(row.second); });
    std::ranges::sort(found);
    std::ranges::sort(expected);
    ASSERT_EQ(found, expected);
  };
  for (int round = 0; round < 20000; ++round) {
    const std::uint64_t hash = random() % 12 * 5;  // few homes: long displaced runs
    const int* object = &objects[random() % objects.size()];
    const auto [first, last] = model.equal_range(hash);
    const auto known =
        std::find_if(first, last, [object](const auto& row) { return row.second == object; });
    if (known == last) {
      index.insert(hash, object);
      model.emplace(hash, object);
    } else {
      index.erase(hash, object);
      model.erase(known);
    }
    ASSERT_EQ(index.size(), model.size());
    check(hash);
    check(random() % 60);
  }
}

}  // namespace
}  // namespace weir
