#include "state/store.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

Pod pod(const char* name, const char* node) {
  Pod out;
  out.namespace_ = "shop";
  out.name = name;
  out.node = node;
  return out;
}

TEST(Store, OnlyRealChangesAreChanges) {
  Store store;
  EXPECT_TRUE(store.upsert(Object(pod("cart", "n0"))));
  EXPECT_FALSE(store.upsert(Object(pod("cart", "n0"))));
  EXPECT_TRUE(store.upsert(Object(pod("cart", "n1"))));
  EXPECT_TRUE(store.apply(Erase{Kind::kPod, {"shop", "cart"}}));
  EXPECT_FALSE(store.apply(Erase{Kind::kPod, {"shop", "cart"}}));
  EXPECT_FALSE(store.erase_endpoint(7));
  EXPECT_EQ(store.revision(), 3U);
  EXPECT_EQ(store.snapshot(), Snapshot());
}

TEST(Store, AnEmptyNewRowIsAChange) {
  Store store;
  EXPECT_TRUE(store.upsert(Endpoint{}));
  EXPECT_TRUE(store.upsert(Object(Namespace{})));
}

TEST(Store, ListenersSeeTheRowBeforeAndAfter) {
  Store store;
  std::string seen;
  store.listen([&seen](const StoreChange& change) {
    const auto& row = std::get<RowChange<Pod>>(change);
    seen += row.before != nullptr ? row.before->node : "-";
    seen += ">";
    seen += row.after != nullptr ? row.after->node : "-";
    seen += " ";
  });
  store.apply(Upsert{pod("cart", "n0")});
  store.apply(Upsert{pod("cart", "n1")});
  store.apply(Erase{Kind::kPod, {"shop", "cart"}});
  EXPECT_EQ(seen, "->n0 n0>n1 n1>- ");
}

}  // namespace
}  // namespace weir
