#include "state/names.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

using namespace std::chrono_literals;

Address addr(const char* text) { return *Address::parse(text); }

Pod pod(const char* name, std::vector<const char*> addresses) {
  Pod out;
  out.namespace_ = "shop";
  out.name = name;
  out.node = "n0";
  out.workload = "cart";
  for (const char* text : addresses) out.addresses.push_back(addr(text));
  return out;
}

struct NamesTest : ::testing::Test {
  Names::Clock::time_point now{1h};
  Store store;
  Names names{store, [this] { return now; }};

  std::string who(const char* address) {
    const Name& name = names.find(addr(address));
    return std::string(name_kind(name.kind)) + " " + (name.pod.empty() ? name.node : name.pod);
  }
  void erase_pod(const char* name) { store.erase(Kind::kPod, {"shop", name}); }
};

TEST_F(NamesTest, PodsNodesRangesAndTheRest) {
  store.upsert(Object(Node{"n1", {addr("172.30.0.11")}, {*Cidr::parse("10.244.1.0/24")}}));
  store.upsert(Object(pod("cart-0", {"10.244.0.3", "fd00::3"})));
  EXPECT_EQ(who("10.244.0.3"), "pod cart-0");
  EXPECT_EQ(who("fd00::3"), "pod cart-0");
  EXPECT_EQ(who("172.30.0.11"), "node n1");
  EXPECT_EQ(who("10.244.1.77"), "unknown n1");
  EXPECT_EQ(who("8.8.8.8"), "outside ");
  EXPECT_EQ(names.find(addr("fd00::3")).workload, "cart");
  EXPECT_EQ(names.find(addr("fd00::3")).namespace_, "shop");
  store.erase(Kind::kNode, {"", "n1"});
  EXPECT_EQ(who("10.244.1.77"), "outside ");
}

PodEndpoint elsewhere(const char* name, const char* address, const char* node = "n1") {
  PodEndpoint out;
  out.namespace_ = "shop";
  out.name = name;
  out.node = node;
  out.workload = "cart";
  out.addresses = {addr(address)};
  return out;
}

TEST_F(NamesTest, PodsOfOtherNodes) {
  store.upsert(Object(elsewhere("cart-0", "10.244.1.3")));
  EXPECT_EQ(who("10.244.1.3"), "pod cart-0");
  EXPECT_EQ(names.find(addr("10.244.1.3")).node, "n1");
  EXPECT_EQ(names.find(addr("10.244.1.3")).workload, "cart");
  EXPECT_TRUE(names.has_owner(addr("10.244.1.3")));
  store.upsert(Object(elsewhere("cart-0", "10.244.2.3", "n2")));
  EXPECT_EQ(who("10.244.2.3"), "pod cart-0");
  EXPECT_EQ(names.find(addr("10.244.2.3")).node, "n2");
  EXPECT_FALSE(names.has_owner(addr("10.244.1.3")));
  EXPECT_EQ(who("10.244.1.3"), "pod cart-0");  // it was
  EXPECT_EQ(names.find(addr("10.244.1.3")).node, "n1");
  store.erase(Kind::kPodEndpoint, {"shop", "cart-0"});
  EXPECT_EQ(who("10.244.2.3"), "pod cart-0");
  now += 61s;
  EXPECT_EQ(who("10.244.2.3"), "outside ");
}

TEST_F(NamesTest, OfTwoPodsElsewhereTheNewerThatIsNotLeaving) {
  store.upsert(Object(elsewhere("old", "10.244.1.3")));
  store.upsert(Object(elsewhere("new", "10.244.1.3")));
  EXPECT_EQ(who("10.244.1.3"), "pod new");
  PodEndpoint leaving = elsewhere("new", "10.244.1.3");
  leaving.leaving = true;
  store.upsert(Object(leaving));
  EXPECT_EQ(who("10.244.1.3"), "pod old");
  store.erase(Kind::kPodEndpoint, {"shop", "old"});
  EXPECT_EQ(who("10.244.1.3"), "pod new");
  store.upsert(Object(pod("here", {"10.244.1.3"})));
  EXPECT_EQ(who("10.244.1.3"), "pod here");  // of this node
  erase_pod("here");
  EXPECT_EQ(who("10.244.1.3"), "pod new");
}

TEST_F(NamesTest, AreTheSameWhenTheyComeLate) {
  store.upsert(Object(elsewhere("cart-0", "10.244.1.3")));
  const Names late(store);
  EXPECT_EQ(late.find(addr("10.244.1.3")).pod, "cart-0");
}

TEST_F(NamesTest, AFormerOwnerIsNamedForAMinute) {
  store.upsert(Object(pod("cart-0", {"10.244.0.3"})));
  erase_pod("cart-0");
  now += 60s;
  EXPECT_EQ(who("10.244.0.3"), "pod cart-0");
  now += 1ms;
  EXPECT_EQ(who("10.244.0.3"), "outside ");
}

TEST_F(NamesTest, ALiveOwnerWinsOverAFormerOne) {
  store.upsert(Object(pod("cart-0", {"10.244.0.3"})));
  erase_pod("cart-0");
  store.upsert(Object(pod("cart-1", {"10.244.0.3"})));
  EXPECT_EQ(who("10.244.0.3"), "pod cart-1");
  erase_pod("cart-1");
  EXPECT_EQ(who("10.244.0.3"), "pod cart-1");
}

TEST_F(NamesTest, FinishedPodsGiveTheirAddressUpAndLeavingOnesYield) {
  store.upsert(Object(pod("job", {"10.244.0.3"})));
  Pod finished = pod("job", {"10.244.0.3"});
  finished.phase = PodPhase::kSucceeded;
  store.upsert(Object(finished));
  store.upsert(Object(pod("cart-1", {"10.244.0.3"})));
  EXPECT_EQ(who("10.244.0.3"), "pod cart-1");
  store.upsert(Object(pod("cart-2", {"10.244.0.3"})));
  EXPECT_EQ(who("10.244.0.3"), "pod cart-2") << "the newest";
  Pod leaving = pod("cart-2", {"10.244.0.3"});
  leaving.terminating = true;
  store.upsert(Object(leaving));
  EXPECT_EQ(who("10.244.0.3"), "pod cart-1");
}

TEST_F(NamesTest, ASandboxIsNamedBeforeAndAfterItsPodObject) {
  Endpoint endpoint;
  endpoint.handle = 1;
  endpoint.pod_namespace = "shop";
  endpoint.pod_name = "cart-0";
  endpoint.addresses = {addr("10.244.0.3")};
  store.upsert(endpoint);
  EXPECT_EQ(who("10.244.0.3"), "pod cart-0");
  EXPECT_EQ(names.find(addr("10.244.0.3")).workload, "");
  store.upsert(Object(pod("cart-0", {})));
  EXPECT_EQ(names.find(addr("10.244.0.3")).workload, "cart");
  erase_pod("cart-0");
  EXPECT_EQ(names.find(addr("10.244.0.3")).workload, "cart");
  store.erase_endpoint(1);
  EXPECT_EQ(who("10.244.0.3"), "pod cart-0");
  now += 61s;
  EXPECT_EQ(who("10.244.0.3"), "outside ");
}

TEST_F(NamesTest, HostNetworkPodsAreTheirNode) {
  store.upsert(Object(Node{"n0", {addr("172.30.0.10")}, {}}));
  Pod host = pod("proxy", {"172.30.0.10"});
  host.host_network = true;
  store.upsert(Object(host));
  EXPECT_EQ(who("172.30.0.10"), "node n0");
}

TEST_F(NamesTest, WhatTheStoreHadBeforeIsNamed) {
  store.upsert(Object(pod("cart-0", {"10.244.0.3"})));
  Names late(store, [this] { return now; });
  EXPECT_EQ(late.find(addr("10.244.0.3")).pod, "cart-0");
}

}  // namespace
}  // namespace weir
