#include "dataplane/reconcile.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

struct Row {
  std::uint32_t version = 0;
  std::uint32_t data = 0;
};

struct FakeTable {
  using KeyType = std::uint32_t;
  using ValueType = Row;
  std::map<std::uint32_t, Row> rows;
  int writes = 0;
  int fail_next = 0;

  Result<void> update(std::uint32_t key, const Row& row) {
    if (fail_next > 0 && fail_next-- > 0) return Error(Code::kKernel, "full");
    ++writes;
    rows[key] = row;
    return {};
  }
  Result<void> erase(std::uint32_t key) {
    if (fail_next > 0 && fail_next-- > 0) return Error(Code::kKernel, "busy");
    ++writes;
    rows.erase(key);
    return {};
  }
  template <typename Each>
  Result<void> for_each(Each each) const {
    for (const auto& [key, row] : rows) each(key, row);
    return {};
  }
};

TEST(Reconciler, WritesOnlyWhatDiffers) {
  FakeTable table;
  Reconciler reconciler(table);
  bool changed = false;
  ASSERT_TRUE(reconciler.apply({{1, {0, 10}}, {2, {0, 20}}}, 1, &changed));
  EXPECT_TRUE(changed);
  EXPECT_EQ(table.writes, 2);
  changed = false;
  ASSERT_TRUE(reconciler.apply({{1, {0, 10}}, {2, {0, 20}}}, 1, &changed));
  EXPECT_FALSE(changed);
  EXPECT_EQ(table.writes, 2);
  ASSERT_TRUE(reconciler.apply({{2, {0, 21}}}, 1, &changed));
  EXPECT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[2].data, 21U);
}

TEST(Reconciler, AChangedRowBearsTheEpochOfItsChange) {
  FakeTable table;
  bool changed = false;
  {
    Reconciler reconciler(table);
    ASSERT_TRUE(reconciler.apply({{1, {0, 10}}, {2, {0, 20}}}, 5, &changed));
    ASSERT_TRUE(reconciler.apply({{1, {0, 11}}, {2, {0, 20}}}, 6, &changed));
  }
  EXPECT_EQ(table.rows[1].version, 6U);
  EXPECT_EQ(table.rows[2].version, 5U);
  Reconciler reconciler(table);
  ASSERT_TRUE(reconciler.adopt());
  changed = false;
  ASSERT_TRUE(reconciler.apply({{1, {0, 11}}, {2, {0, 20}}}, 9, &changed));
  EXPECT_FALSE(changed);
  EXPECT_EQ(table.rows[1].version, 6U);
}

TEST(Reconciler, AFailedWriteIsTriedAgain) {
  FakeTable table;
  Reconciler reconciler(table);
  bool changed = false;
  table.fail_next = 1;
  EXPECT_FALSE(reconciler.apply({{1, {0, 10}}, {2, {0, 20}}}, 1, &changed));
  EXPECT_EQ(table.rows.size(), 1U);
  EXPECT_TRUE(reconciler.apply({{1, {0, 10}}, {2, {0, 20}}}, 1, &changed));
  EXPECT_EQ(table.rows.size(), 2U);
  table.fail_next = 1;
  EXPECT_FALSE(reconciler.apply({}, 1, &changed));
  EXPECT_TRUE(reconciler.apply({}, 1, &changed));
  EXPECT_TRUE(table.rows.empty());
}

}  // namespace
}  // namespace weir
