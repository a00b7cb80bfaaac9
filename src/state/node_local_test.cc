#include "state/node_local.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace weir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Service service(const char* name, const char* stands_in_for = "", bool own_first = false) {
  Service made;
  made.namespace_ = "kube-system";
  made.name = name;
  made.own_node_first = own_first;
  made.node_local_for = stands_in_for;
  return made;
}

EndpointSlice slice(const char* name, const char* of,
                    const std::vector<std::pair<const char*, const char*>>& where) {
  EndpointSlice made;
  made.namespace_ = "kube-system";
  made.name = name;
  made.service = of;
  made.ports = {{"dns", Protocol::kUdp, 53}};
  for (const auto& [address, node] : where) {
    SliceEndpoint endpoint;
    endpoint.addresses = {*Address::parse(address)};
    endpoint.node = node;
    made.endpoints.push_back(endpoint);
  }
  return made;
}

class NodeLocalTest : public testing::Test {
 protected:
  void put(Object object) { apply(Upsert{std::move(object)}); }
  void erase(Kind kind, const char* name) { apply(Erase{kind, {"kube-system", name}}); }
  void apply(Change change) {
    for (Change& one : node_local_.take(std::move(change))) store_.apply(std::move(one));
  }

  // Addresses of the slices of Service dns.
  std::vector<std::string> backends() const {
    std::vector<std::string> out;
    for (const auto& row : store_.snapshot().slices) {
      const EndpointSlice one = row.unpack();
      if (one.service != "dns") continue;
      for (const auto& endpoint : one.endpoints) {
        out.push_back(endpoint.addresses.front().to_string());
      }
    }
    return out;
  }
  bool own_first(const char* name = "dns") const {
    return store_.snapshot().services.find(ObjectKey{"kube-system", name})->unpack().own_node_first;
  }

  Store store_;
  NodeLocal node_local_{store_, "n0"};
};

TEST_F(NodeLocalTest, TheEndStateIsTheSameInAnyOrder) {
  const std::vector<Object> objects = {
      service("dns"), service("cache", "dns"), slice("dns-1", "dns", {{"10.0.0.1", "n1"}}),
      slice("cache-1", "cache", {{"10.0.1.1", "n1"}, {"10.0.0.9", "n0"}})};
  std::vector<std::size_t> order = {0, 1, 2, 3};
  do {
    Store store;
    NodeLocal node_local(store, "n0");
    for (const std::size_t i : order) {
      for (Change& one : node_local.take(Upsert{objects[i]})) store.apply(std::move(one));
    }
    Store expected;
    expected.upsert(service("dns", "", true));
    expected.upsert(service("cache"));
    expected.upsert(objects[2]);
    expected.upsert(objects[3]);
    expected.upsert(slice("weir-node-local.cache-1", "dns", {{"10.0.0.9", "n0"}}));
    EXPECT_EQ(store.snapshot(), expected.snapshot());
  } while (std::ranges::next_permutation(order).found);
}

TEST_F(NodeLocalTest, OnlyReadyOnesOfThisNodeStandIn) {
  put(service("dns"));
  put(service("cache", "dns"));
  put(slice("dns-1", "dns", {{"10.0.0.1", "n1"}}));
  EndpointSlice cache = slice("cache-1", "cache", {{"10.0.0.9", "n0"}});
  put(cache);
  EXPECT_THAT(backends(), ElementsAre("10.0.0.1", "10.0.0.9"));
  cache.endpoints[0].ready = false;
  put(cache);
  EXPECT_THAT(backends(), ElementsAre("10.0.0.1"));
  cache.endpoints[0].ready = true;
  put(cache);
  erase(Kind::kEndpointSlice, "cache-1");
  EXPECT_THAT(backends(), ElementsAre("10.0.0.1"));
}

TEST_F(NodeLocalTest, TheServiceIsAsItWasWhenNobodyStandsInAnyMore) {
  put(service("dns"));
  put(service("other", "", true));
  put(slice("cache-1", "cache", {{"10.0.0.9", "n0"}}));
  put(service("cache", "dns"));
  EXPECT_TRUE(own_first());
  put(service("cache", "other"));
  EXPECT_FALSE(own_first());
  EXPECT_THAT(backends(), IsEmpty());
  put(service("cache"));
  EXPECT_TRUE(own_first("other"));
  put(service("cache", "dns"));
  erase(Kind::kService, "cache");
  EXPECT_FALSE(own_first());
  EXPECT_THAT(backends(), IsEmpty());
}

TEST_F(NodeLocalTest, ASliceThatChangesItsServiceStandsInNoMore) {
  put(service("dns"));
  put(service("cache", "dns"));
  put(slice("s", "cache", {{"10.0.0.9", "n0"}}));
  put(slice("s", "else", {{"10.0.0.9", "n0"}}));
  EXPECT_THAT(backends(), IsEmpty());
}

TEST_F(NodeLocalTest, NoServiceStandsInForItself) {
  put(service("dns", "dns"));
  put(slice("dns-1", "dns", {{"10.0.0.9", "n0"}}));
  EXPECT_FALSE(own_first());
  EXPECT_THAT(backends(), ElementsAre("10.0.0.9"));
}

}  // namespace
}  // namespace weir
