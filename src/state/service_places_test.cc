#include <gtest/gtest.h>

#include "state/names.h"

namespace weir {
namespace {

Address addr(const char* text) { return *Address::parse(text); }

Service service(const char* name) {
  Service out;
  out.namespace_ = "shop";
  out.name = name;
  out.created = 100;
  out.ports = {{"http", Protocol::kTcp, 80, {8080, ""}, 30080},
               {"dns", Protocol::kUdp, 80, {53, ""}, 0}};
  out.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
  return out;
}

struct ServicePlacesTest : ::testing::Test {
  Store store;
  Names names{store};

  std::string who(const char* address, std::uint16_t port, Protocol protocol = Protocol::kTcp) {
    const auto found = names.find_service(addr(address), port, protocol);
    return found ? found->namespace_ + "/" + found->name + ":" + found->port : "";
  }
};

TEST_F(ServicePlacesTest, EveryAddressOfAServiceNamesItWithThePort) {
  Service cart = service("cart");
  cart.external_ips = {addr("192.0.2.1")};
  cart.ingress = {{addr("198.51.100.1"), false}};
  store.upsert(Object(cart));
  for (const char* address : {"10.96.0.7", "fd00:96::7", "192.0.2.1", "198.51.100.1"}) {
    EXPECT_EQ(who(address, 80), "shop/cart:http") << address;
    EXPECT_EQ(who(address, 80, Protocol::kUdp), "shop/cart:dns") << address;
    EXPECT_EQ(who(address, 81), "shop/cart:") << address;
  }
  EXPECT_EQ(who("10.96.0.8", 80), "");
}

TEST_F(ServicePlacesTest, ANodePortIsOneOnAddressesOfNodesOnly) {
  store.upsert(Object(service("cart")));
  store.upsert(Object(Node{"n0", {addr("172.30.0.10")}, {}}));
  EXPECT_EQ(who("172.30.0.10", 30080), "shop/cart:http");
  EXPECT_EQ(who("172.30.0.10", 30080, Protocol::kUdp), "");
  EXPECT_EQ(who("172.30.0.10", 80), "");
  EXPECT_EQ(who("172.30.0.99", 30080), "");
}

TEST_F(ServicePlacesTest, AnAddressThatSeveralShareIsWhoseThePortIs) {
  Service cart = service("cart");
  cart.external_ips = {addr("192.0.2.1")};
  Service web = service("web");
  web.cluster_ips = {};
  web.external_ips = {addr("192.0.2.1")};
  web.ports = {{"", Protocol::kTcp, 443, {443, ""}, 0}};
  store.upsert(Object(cart));
  store.upsert(Object(web));
  EXPECT_EQ(who("192.0.2.1", 80), "shop/cart:http");
  EXPECT_EQ(who("192.0.2.1", 443), "shop/web:");
}

TEST_F(ServicePlacesTest, TheOneCreatedFirstThenTheFirstByNameIsNamed) {
  store.upsert(Object(service("b")));
  store.upsert(Object(service("a")));
  EXPECT_EQ(who("10.96.0.7", 80), "shop/a:http");
  Service first = service("c");
  first.created = 99;
  store.upsert(Object(first));
  EXPECT_EQ(who("10.96.0.7", 80), "shop/c:http");
}

TEST_F(ServicePlacesTest, ChangesAndEndsAreFollowed) {
  store.upsert(Object(service("cart")));
  Service moved = service("cart");
  moved.cluster_ips = {addr("10.96.0.9"), addr("10.96.0.9")};
  moved.ports[0].node_port = 30090;
  store.upsert(Object(Node{"n0", {addr("172.30.0.10")}, {}}));
  store.upsert(Object(moved));
  EXPECT_EQ(who("10.96.0.7", 80), "");
  EXPECT_EQ(who("10.96.0.9", 80), "shop/cart:http");
  EXPECT_EQ(who("172.30.0.10", 30080), "");
  EXPECT_EQ(who("172.30.0.10", 30090), "shop/cart:http");
  store.erase(Kind::kService, {"shop", "cart"});
  EXPECT_EQ(who("10.96.0.9", 80), "");
  EXPECT_EQ(who("172.30.0.10", 30090), "");
}

TEST_F(ServicePlacesTest, ServicesThatTheStoreHadBeforeAreNamed) {
  store.upsert(Object(service("cart")));
  const Names late(store);
  EXPECT_TRUE(late.find_service(addr("10.96.0.7"), 80, Protocol::kTcp));
}

}  // namespace
}  // namespace weir
