#include "state/packed_table.h"

#include <gtest/gtest.h>

#include <map>

namespace weir {
namespace {

Service named(const char* space, const char* name, std::uint16_t health_check_port = 0) {
  Service out;
  out.namespace_ = space;
  out.name = name;
  out.health_check_port = health_check_port;
  return out;
}

TEST(PackedTable, IsInTheOrderOfItsKeys) {
  PackedTable<Service> table;
  std::map<ObjectKey, Service> model;
  for (const char* space : {"b", "a", "ab", ""}) {
    for (const char* name : {"y", "x", "xy"}) {
      const Service value = named(space, name);
      table.emplace(value);
      model[value.key()] = value;
    }
  }
  auto expected = model.begin();
  for (const auto& row : table) EXPECT_EQ(row.unpack(), expected++->second);
  EXPECT_EQ(expected, model.end());
  EXPECT_EQ(table.lower_bound(ObjectKey{"ab", ""})->unpack(), named("ab", "x"));
  EXPECT_EQ(table.upper_bound(ObjectKey{"ab", "xy"})->unpack(), named("ab", "y"));
  EXPECT_FALSE(table.contains(ObjectKey{"ab", "z"}));
}

TEST(PackedTable, ARowStaysWhereItIsWhateverIsWritten) {
  PackedTable<Service> table;
  const PackedRow<Service>* row = &*table.emplace(named("shop", "cart")).first;
  for (int i = 0; i < 100; ++i) table.emplace(named("shop", std::to_string(i).c_str()));
  row->replace(PackedRow(named("shop", "cart", 80)));
  const auto found = table.find(ObjectKey{"shop", "cart"});
  ASSERT_NE(found, table.end());
  EXPECT_EQ(&*found, row);
  EXPECT_EQ(found->unpack(), named("shop", "cart", 80));
  const auto gone = table.extract(found);
  EXPECT_EQ(&gone.value(), row);
  EXPECT_EQ(table.size(), 100U);
}

TEST(PackedTable, ACopyIsEqualAndApart) {
  PackedTable<Service> table;
  table.emplace(named("shop", "cart"));
  const PackedTable<Service> copy = table;
  EXPECT_EQ(copy, table);
  table.begin()->replace(PackedRow(named("shop", "cart", 80)));
  EXPECT_NE(copy, table);
  EXPECT_EQ(copy.begin()->unpack(), named("shop", "cart"));
}

}  // namespace
}  // namespace weir
