#include "local/naming.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "local/cluster.h"
#include "local/schedule.h"

namespace weir::local {
namespace {

TEST(Naming, PodNamesLookLikeKubernetesOnes) {
  const auto hash = template_hash("template");
  const auto name = deployment_pod_name("cart", hash, 0);
  EXPECT_EQ(hash.size(), 10U);
  EXPECT_TRUE(name.starts_with("cart-" + hash + "-")) << name;
  EXPECT_EQ(name.size(), 4 + 1 + 10 + 1 + 5U);
  EXPECT_EQ(name, deployment_pod_name("cart", hash, 0));
}

TEST(Naming, LongNamesStayHostNames) {
  EXPECT_LE(deployment_pod_name(std::string(200, 'x'), template_hash(""), 0).size(), 63U);
}

TEST(Naming, PodsOfADeploymentHaveDifferentNames) {
  std::set<std::string> names;
  for (std::uint64_t i = 0; i < kMaxPods; ++i) names.insert(deployment_pod_name("a", "hash", i));
  EXPECT_EQ(names.size(), kMaxPods);
}

TEST(Naming, IdsAreWellFormed) {
  const auto uid = make_uid();
  ASSERT_EQ(uid.size(), 36U);
  EXPECT_EQ(uid[14], '4');
  EXPECT_NE(std::string("89ab").find(uid[19]), std::string::npos);
  EXPECT_EQ(make_container_id().size(), 64U);
  EXPECT_NE(make_uid(), uid);
}

TEST(Schedule, PodsOfAWorkloadSpread) {
  const std::vector<std::string> nodes = {"n0", "n1", "n2"};
  std::vector<Placed> placed;
  std::string order;
  for (int i = 0; i < 6; ++i) {
    placed.push_back({*choose_node(nodes, placed, "cart"), "cart"});
    order += placed.back().node;
  }
  EXPECT_EQ(order, "n0n1n2n0n1n2");
}

TEST(Schedule, TheLeastLoadedNodeWinsAmongEquals) {
  const std::vector<Placed> placed = {{"n0", "a"}, {"n0", "b"}, {"n1", "c"}};
  EXPECT_EQ(choose_node({"n0", "n1"}, placed, "d"), "n1");
  EXPECT_EQ(choose_node({"n0", "n1"}, placed, "c"), "n0");
  EXPECT_EQ(choose_node({}, placed, "d"), std::nullopt);
}

TEST(Cluster, AddressesFollowFromTheIndex) {
  Cluster cluster;
  cluster.nodes = 3;
  const auto nodes = cluster.make_nodes();
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[2].name, "n2");
  EXPECT_EQ(nodes[2].addresses[0].to_string(), "172.30.0.12");
  EXPECT_EQ(nodes[2].addresses[1].to_string(), "fd00:30::c");
  EXPECT_EQ(nodes[2].pod_cidrs[0].to_string(), "10.244.2.0/24");
  EXPECT_EQ(nodes[2].pod_cidrs[1], *Cidr::parse("fd00:244:0:2::/64"));
}

TEST(Cluster, OneFamilyHasOneAddress) {
  Cluster cluster;
  cluster.families = Families::kIpv6;
  const auto node = cluster.make_nodes()[0];
  ASSERT_EQ(node.addresses.size(), 1U);
  EXPECT_FALSE(node.addresses[0].is_v4());
  ASSERT_EQ(node.pod_cidrs.size(), 1U);
}

TEST(Cluster, AbsurdRequestsAreRefused) {
  for (const char* name : {"", "A", "-a", "a-", "a/b", "..", "a_b", "abcdefghijklmnopqrstu"}) {
    Cluster cluster;
    cluster.name = name;
    EXPECT_FALSE(check_cluster(cluster)) << name;
  }
  for (const std::uint64_t nodes : {0ULL, 9ULL, 1'000'000ULL}) {
    Cluster cluster;
    cluster.nodes = nodes;
    EXPECT_FALSE(check_cluster(cluster)) << nodes;
  }
  EXPECT_TRUE(check_cluster(Cluster{}));
}

TEST(Cluster, IsReadBack) {
  Cluster cluster;
  cluster.nodes = 5;
  cluster.tunnel = false;
  cluster.families = Families::kIpv4;
  cluster.cgroup = "/sys/fs/cgroup/weir/x";
  const auto again = parse_cluster(to_json(cluster));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), to_json(cluster));
  EXPECT_FALSE(parse_cluster("{"));
}

}  // namespace
}  // namespace weir::local
