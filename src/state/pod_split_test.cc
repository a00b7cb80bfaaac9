#include "state/pod_split.h"

#include <gtest/gtest.h>

#include "state/store.h"

namespace weir {
namespace {

Pod pod(const char* node) {
  Pod out;
  out.namespace_ = "shop";
  out.name = "cart-0";
  out.node = node;
  out.addresses = {*Address::parse("10.244.0.3"), *Address::parse("fd00::3")};
  out.labels = {{"app", "cart"}};
  out.workload = "cart";
  return out;
}

PodEndpoint endpoint(const char* node) { return *pod_endpoint_of(pod(node)); }

// What a store comes to.
struct Split {
  Store store;
  PodSplit split;

  explicit Split(bool whole_pods) : split("n0", whole_pods) {}
  void tell(Change change) {
    for (Change& one : split.take(std::move(change))) store.apply(std::move(one));
  }
  bool has_pod() const { return store.snapshot().pods.contains({"shop", "cart-0"}); }
  std::string endpoint_node() const {
    const auto row = store.snapshot().pod_endpoints.find(ObjectKey{"shop", "cart-0"});
    return row == store.snapshot().pod_endpoints.end() ? "" : row->unpack().node;
  }
};

TEST(PodSplit, OwnPodsStayWholeAndOthersBecomeEndpoints) {
  Split split(true);
  split.tell(Upsert{pod("n0")});
  EXPECT_TRUE(split.has_pod());
  EXPECT_EQ(split.endpoint_node(), "");
  split.tell(Upsert{pod("n1")});
  EXPECT_FALSE(split.has_pod());
  EXPECT_EQ(split.endpoint_node(), "n1");
  split.tell(Upsert{pod("n0")});
  EXPECT_TRUE(split.has_pod());
  EXPECT_EQ(split.endpoint_node(), "");
  split.tell(Erase{Kind::kPod, {"shop", "cart-0"}});
  EXPECT_FALSE(split.has_pod());
}

TEST(PodSplit, AnotherNodesPodLeavesWithItsObjectAndWhenItHasEnded) {
  Split split(true);
  split.tell(Upsert{pod("n1")});
  split.tell(Erase{Kind::kPod, {"shop", "cart-0"}});
  EXPECT_EQ(split.endpoint_node(), "");
  split.tell(Upsert{pod("n1")});
  Pod ended = pod("n1");
  ended.phase = PodPhase::kSucceeded;
  split.tell(Upsert{ended});
  EXPECT_EQ(split.endpoint_node(), "");
}

// The two come by different watches, in any order.
TEST(PodSplit, ThePodHereAndTheOneElsewhereDoNotMeet) {
  Split split(false);
  split.tell(Upsert{pod("n0")});
  split.tell(Upsert{endpoint("n1")});
  EXPECT_TRUE(split.has_pod());
  EXPECT_EQ(split.endpoint_node(), "n1");
  split.tell(Erase{Kind::kPod, {"shop", "cart-0"}});
  EXPECT_EQ(split.endpoint_node(), "n1");
  split.tell(Upsert{endpoint("n0")});  // as this node tells the others
  EXPECT_EQ(split.endpoint_node(), "");
}

TEST(PodSplit, OfHostNetworkPodsOnlyAWeightIsTold) {
  Pod host = pod("n1");
  host.host_network = true;
  EXPECT_FALSE(pod_endpoint_of(host));
  host.weight = 3;
  const auto told = pod_endpoint_of(host);
  ASSERT_TRUE(told);
  EXPECT_TRUE(told->addresses.empty());
  EXPECT_EQ(told->weight, 3U);
  EXPECT_FALSE(pod_endpoint_of(pod("")));  // not scheduled
}

}  // namespace
}  // namespace weir
