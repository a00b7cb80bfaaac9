#include "compile/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Address addr(const char* text) { return *Address::parse(text); }
Cidr cidr(const char* text) { return *Cidr::parse(text); }

Node node(const char* name, std::vector<const char*> addresses, std::vector<const char*> cidrs) {
  Node out;
  out.name = name;
  for (const char* text : addresses) out.addresses.push_back(addr(text));
  for (const char* text : cidrs) out.pod_cidrs.push_back(cidr(text));
  return out;
}

Endpoint endpoint(std::uint32_t handle, const char* pod, std::vector<const char*> addresses) {
  Endpoint out;
  out.handle = handle;
  out.pod_namespace = "shop";
  out.pod_name = pod;
  out.host_ifindex = 100 + handle;
  for (const char* text : addresses) out.addresses.push_back(addr(text));
  return out;
}

Compiled compile_nodes(const std::vector<Node>& nodes, bool tunnel) {
  Store store;
  for (const Node& n : nodes) store.upsert(Object(n));
  return compile(store.snapshot(), {.name = "n0", .tunnel = tunnel, .addresses = {}});
}

std::string route(const Compiled& compiled, const char* key) {
  const auto it = compiled.entries.routes.find(cidr(key));
  if (it == compiled.entries.routes.end()) return "none";
  const std::string text = to_string(it->second);
  return text.substr(0, text.find(" node="));
}

TEST(Compile, EndpointsKeepTheirOwnAddressAsId) {
  Store store;
  store.upsert(endpoint(3, "cart", {"10.244.0.3", "fd00::3"}));
  const auto entries = compile(store.snapshot(), {.name = "n0", .addresses = {}}).entries;
  ASSERT_EQ(entries.endpoints.size(), 2U);
  for (const auto& [address, entry] : entries.endpoints) {
    EXPECT_EQ(from_abi(entry.id), address);
    EXPECT_EQ(entry.handle, 3U);
    EXPECT_EQ(entry.ifindex, 103U);
    EXPECT_EQ(entry.version, 0U);
  }
}

TEST(Compile, TheNewestSandboxWinsAnAddressAndTheClashIsReported) {
  Store store;
  store.upsert(endpoint(9, "new", {"10.244.0.3"}));
  store.upsert(endpoint(3, "old", {"10.244.0.3"}));
  const auto out = compile(store.snapshot(), {.name = "n0", .addresses = {}});
  EXPECT_EQ(out.entries.endpoints.at(addr("10.244.0.3")).handle, 9U);
  EXPECT_THAT(out.conflicts[0], HasSubstr("shop/old and shop/new both have it"));
}

TEST(Compile, TunnelEndsAreIpv4ForBothFamiliesWhenBothNodesHaveIt) {
  const Node n0 = node("n0", {"fd02::10", "172.30.0.10"}, {"10.244.0.0/24", "fd01::/80"});
  const Node n1 = node("n1", {"fd02::11", "172.30.0.11"}, {"10.244.1.0/24", "fd01:0:0:1::/80"});
  const auto out = compile_nodes({n0, n1}, true);
  EXPECT_EQ(route(out, "10.244.0.0/24"), "kind=local-pods node_addr=none");
  EXPECT_EQ(route(out, "172.30.0.10/32"), "kind=host node_addr=none");
  EXPECT_EQ(route(out, "10.244.1.0/24"), "kind=pods node_addr=172.30.0.11");
  EXPECT_EQ(route(out, "fd01:0:0:1::/80"), "kind=pods node_addr=172.30.0.11");
  EXPECT_EQ(route(out, "fd02::11/128"), "kind=node node_addr=172.30.0.11");
  EXPECT_EQ(to_string(out.entries.kernel_routes.at(cidr("fd01:0:0:1::/80"))),
            "via=tunnel node=172.30.0.11");
  EXPECT_THAT(out.conflicts, IsEmpty());
}

TEST(Compile, TunnelEndsAreIpv6WhenOneNodeHasNoIpv4) {
  const Node n0 = node("n0", {"fd02::10"}, {});
  const Node n1 = node("n1", {"172.30.0.11", "fd02::11"}, {"10.244.1.0/24"});
  EXPECT_EQ(route(compile_nodes({n0, n1}, true), "10.244.1.0/24"), "kind=pods node_addr=fd02::11");
}

TEST(Compile, NativeNextHopsAreOfTheRangesOwnFamily) {
  const Node n0 = node("n0", {"172.30.0.10", "fd02::10"}, {});
  const Node n1 = node("n1", {"172.30.0.11", "fd02::11"}, {"10.244.1.0/24", "fd01:0:0:1::/80"});
  const auto out = compile_nodes({n0, n1}, false);
  EXPECT_EQ(route(out, "10.244.1.0/24"), "kind=pods node_addr=172.30.0.11");
  EXPECT_EQ(route(out, "fd01:0:0:1::/80"), "kind=pods node_addr=fd02::11");
  EXPECT_EQ(to_string(out.entries.kernel_routes.at(cidr("fd01:0:0:1::/80"))),
            "via=next-hop node=fd02::11");
}

TEST(Compile, ASmallerWayToANodeIsInAllItsRows) {
  Store store;
  store.upsert(Object(node("n0", {"172.30.0.10"}, {"10.244.0.0/24"})));
  store.upsert(Object(node("n1", {"172.30.0.11"}, {"10.244.1.0/24"})));
  store.upsert(Object(node("n2", {"172.30.0.12"}, {"10.244.2.0/24"})));
  for (const bool tunnel : {true, false}) {
    const auto out = compile(store.snapshot(), {.name = "n0",
                                                .tunnel = tunnel,
                                                .addresses = {},
                                                .path_mtus = {{addr("172.30.0.11"), 1350}}});
    for (const char* key : {"10.244.1.0/24", "172.30.0.11/32"}) {
      EXPECT_EQ(out.entries.routes.at(cidr(key)).mtu, 1350) << key;
    }
    for (const char* key : {"10.244.0.0/24", "10.244.2.0/24", "172.30.0.12/32"}) {
      EXPECT_EQ(out.entries.routes.at(cidr(key)).mtu, 0) << key;
    }
    EXPECT_EQ(out.entries.kernel_routes.at(cidr("10.244.1.0/24")).mtu, 1350U);
    EXPECT_EQ(out.entries.kernel_routes.at(cidr("10.244.2.0/24")).mtu, 0U);
  }
}

TEST(Compile, NoWayTakesLessThanIpv6Needs) {
  Store store;
  store.upsert(Object(node("n0", {"172.30.0.10"}, {"10.244.0.0/24"})));
  store.upsert(Object(node("n1", {"172.30.0.11"}, {"10.244.1.0/24", "fd01:0:0:1::/80"})));
  const auto out = compile(
      store.snapshot(), {.name = "n0", .addresses = {}, .path_mtus = {{addr("172.30.0.11"), 926}}});
  EXPECT_EQ(out.entries.routes.at(cidr("10.244.1.0/24")).mtu, 926);
  EXPECT_EQ(out.entries.routes.at(cidr("fd01:0:0:1::/80")).mtu, 1280);
  EXPECT_EQ(out.entries.kernel_routes.at(cidr("fd01:0:0:1::/80")).mtu, 1280U);
}

TEST(Compile, ARangeWithoutAWayIsReportedAndLeadsNowhere) {
  const Node n0 = node("n0", {"172.30.0.10"}, {});
  const Node n1 = node("n1", {"172.30.0.11"}, {"fd01:0:0:1::/80"});
  const auto out = compile_nodes({n0, n1}, false);
  EXPECT_EQ(route(out, "fd01:0:0:1::/80"), "kind=pods node_addr=none");
  EXPECT_THAT(out.entries.kernel_routes, IsEmpty());
  EXPECT_THAT(out.conflicts, ElementsAre(HasSubstr("node n1: no way to its pod range")));
}

TEST(Compile, OneRangeOfTwoNodesGoesToThisNodeOrTheLowerName) {
  const Node n0 = node("n0", {"172.30.0.10"}, {"10.244.0.0/24"});
  const Node n1 = node("n1", {"172.30.0.11"}, {"10.244.0.0/24", "10.244.1.0/24"});
  const Node n2 = node("n2", {"172.30.0.12"}, {"10.244.1.0/24", "10.244.1.64/26"});
  const auto out = compile_nodes({n2, n1, n0}, true);
  EXPECT_EQ(route(out, "10.244.0.0/24"), "kind=local-pods node_addr=none");
  EXPECT_EQ(route(out, "10.244.1.0/24"), "kind=pods node_addr=172.30.0.11");
  EXPECT_EQ(route(out, "10.244.1.64/26"), "kind=pods node_addr=172.30.0.12");
  EXPECT_THAT(out.conflicts,
              ElementsAre(HasSubstr("10.244.0.0/24 belongs to nodes n0 and n1; it goes to n0"),
                          HasSubstr("10.244.1.0/24 belongs to nodes n1 and n2; it goes to n1"),
                          HasSubstr("10.244.1.64/26 of node n2 lies inside 10.244.1.0/24 of node "
                                    "n1; n2 has it")));
}

TEST(Compile, RangesThatWouldCatchTheWorldAreIgnored) {
  const Node n0 = node("n0", {"172.30.0.10"}, {});
  const Node n1 = node("n1", {"172.30.0.11"}, {"0.0.0.0/0", "::/0", "::/64", "10.0.0.0/8"});
  const auto out = compile_nodes({n0, n1}, true);
  EXPECT_EQ(route(out, "0.0.0.0/0"), "none");
  EXPECT_EQ(route(out, "::/0"), "none");
  EXPECT_EQ(route(out, "::/64"), "none");
  EXPECT_EQ(route(out, "10.0.0.0/8"), "kind=pods node_addr=172.30.0.11");
  EXPECT_EQ(out.conflicts.size(), 3U);
}

TEST(Compile, TheRangeOfServicesIsARouteUnlessANodeHasIt) {
  Store store;
  store.upsert(Node{.name = "n0",
                    .addresses = {addr("172.30.0.10")},
                    .pod_cidrs = {cidr("10.244.0.0/24")},
                    .zone = {},
                    .leaving = false});
  const auto out =
      compile(store.snapshot(), {.name = "n0",
                                 .addresses = {},
                                 .service_cidrs = {cidr("10.96.0.0/16"), cidr("fd00:96::/112"),
                                                   cidr("10.244.0.0/24"), cidr("0.0.0.0/0")}});
  EXPECT_EQ(out.entries.routes.at(cidr("10.96.0.0/16")).kind, WEIR_ROUTE_SERVICES);
  EXPECT_EQ(out.entries.routes.at(cidr("fd00:96::/112")).kind, WEIR_ROUTE_SERVICES);
  EXPECT_EQ(out.entries.routes.at(cidr("10.244.0.0/24")).kind, WEIR_ROUTE_LOCAL_PODS);
  EXPECT_EQ(out.conflicts.size(), 2u);
}

TEST(Compile, WhatIsNotMasqueradedIsARouteUnlessTheClusterHasIt) {
  Store store;
  store.upsert(Object(node("n0", {"172.30.0.10"}, {"10.244.0.0/24", "fd00:10::/64"})));
  store.upsert(Object(node("n1", {"172.30.0.11"}, {"10.244.1.0/24"})));
  NodeConfig config{.name = "n0", .addresses = {}};
  config.service_cidrs = {cidr("10.96.0.0/16")};
  config.non_masquerade_cidrs = {cidr("10.0.0.0/8"),      cidr("10.244.1.0/24"),
                                 cidr("10.244.0.128/25"), cidr("10.96.4.0/24"),
                                 cidr("172.30.0.11/32"),  cidr("fd00::/8")};
  const auto out = compile(store.snapshot(), config);
  EXPECT_EQ(to_string(out.entries.routes.at(cidr("10.0.0.0/8"))),
            "kind=outside node_addr=none node=00000000 keep-source");
  EXPECT_EQ(to_string(out.entries.routes.at(cidr("fd00::/8"))),
            "kind=outside node_addr=none node=00000000 keep-source");
  EXPECT_EQ(out.entries.routes.at(cidr("10.244.1.0/24")).kind, WEIR_ROUTE_PODS);
  EXPECT_EQ(out.entries.routes.at(cidr("172.30.0.11/32")).kind, WEIR_ROUTE_NODE);
  EXPECT_FALSE(out.entries.routes.contains(cidr("10.244.0.128/25")));
  EXPECT_FALSE(out.entries.routes.contains(cidr("10.96.4.0/24")));
  EXPECT_THAT(out.conflicts, IsEmpty());
}

TEST(Compile, AllOfIpv6IsNotAllOfIpv4) {
  NodeConfig config{.name = "n0", .addresses = {}};
  config.non_masquerade_cidrs = {cidr("::/0")};
  auto routes = compile(Store().snapshot(), config).entries.routes;
  EXPECT_EQ(routes.at(cidr("::/0")).flags, WEIR_ROUTE_KEEP_SOURCE);
  EXPECT_EQ(routes.at(cidr("0.0.0.0/0")).flags, 0);
  EXPECT_EQ(routes.at(cidr("0.0.0.0/0")).kind, WEIR_ROUTE_OUTSIDE);
  config.non_masquerade_cidrs = {cidr("::/0"), cidr("0.0.0.0/0")};
  routes = compile(Store().snapshot(), config).entries.routes;
  EXPECT_EQ(routes.at(cidr("0.0.0.0/0")).flags, WEIR_ROUTE_KEEP_SOURCE);
}

TEST(Compile, OwnAddressesComeFromTheKernelToo) {
  Store store;
  store.upsert(Object(node("n0", {"172.30.0.10"}, {})));
  store.upsert(Object(node("n1", {"172.30.0.99"}, {})));
  const NodeConfig config{.name = "n0",
                          .addresses = {addr("127.0.0.1"), addr("::1"), addr("172.30.0.99")}};
  const auto out = compile(store.snapshot(), config);
  EXPECT_EQ(route(out, "172.30.0.99/32"), "kind=host node_addr=none");
  EXPECT_EQ(route(out, "127.0.0.1/32"), "none");
  EXPECT_THAT(out.conflicts, ElementsAre(HasSubstr("it goes to n0")));
}

TEST(Compile, NodesHaveDifferentIndexesThatSurviveOtherNodes) {
  const Node n0 = node("n0", {"172.30.0.10"}, {});
  const Node n1 = node("n1", {"172.30.0.11"}, {});
  const Node n2 = node("n2", {"172.30.0.12"}, {});
  const auto all = compile_nodes({n0, n1, n2}, true).entries.routes;
  const auto fewer = compile_nodes({n0, n2}, true).entries.routes;
  EXPECT_EQ(all.at(cidr("172.30.0.12/32")), fewer.at(cidr("172.30.0.12/32")));
  EXPECT_NE(all.at(cidr("172.30.0.12/32")).node, all.at(cidr("172.30.0.11/32")).node);
}

}  // namespace
}  // namespace weir
