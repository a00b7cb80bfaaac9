#include "local/slices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace weir::local {
namespace {

const std::map<std::string, std::string> kZones = {{"n0", "a"}, {"n1", "b"}};

Service service() {
  Service out;
  out.namespace_ = "shop";
  out.name = "cart";
  out.selector = {{"app", "cart"}};
  out.families = {Family::kIpv4};
  out.ports = {{.name = "http", .port = 80, .target = {8080, ""}}};
  return out;
}

// Pods with their specs, which stay where they are.
struct Pods {
  std::deque<std::pair<Pod, PodSpec>> all;

  Pod& add(const std::string& name, std::uint64_t index = 0) {
    auto& [pod, spec] = all.emplace_back();
    pod.namespace_ = "shop";
    pod.name = name;
    pod.node = "n0";
    pod.labels = {{"app", "cart"}};
    pod.addresses = {Address::v4(0x0af40000).plus(index == 0 ? all.size() : index),
                     Address::parse("fd00:244::")->plus(index == 0 ? all.size() : index)};
    pod.phase = PodPhase::kRunning;
    pod.ready = true;
    spec.containers.resize(1);
    return pod;
  }
  PodSpec& spec() { return all.back().second; }
  std::vector<BackingPod> list() const {
    std::vector<BackingPod> result;
    for (const auto& [pod, spec] : all) result.push_back({pod, spec});
    return result;
  }
};

std::vector<EndpointSlice> make(const Service& service, const Pods& pods,
                                std::vector<EndpointSlice> before = {}) {
  return make_slices(service, pods.list(), kZones, std::move(before));
}

std::string names_of(const EndpointSlice& slice) {
  std::string text;
  for (const auto& endpoint : slice.endpoints) text += endpoint.pod + ' ';
  return text;
}

TEST(Slices, TellAllOfAnEndpoint) {
  Pods pods;
  pods.add("p0");
  const auto slices = make(service(), pods);
  ASSERT_EQ(slices.size(), 1U);
  EXPECT_TRUE(slices[0].name.starts_with("cart-"));
  EXPECT_EQ(slices[0].service_key(), (ObjectKey{"shop", "cart"}));
  EXPECT_EQ(slices[0].ports, (std::vector<SlicePort>{{"http", Protocol::kTcp, 8080}}));
  const SliceEndpoint expected{.addresses = {pods.all[0].first.addresses[0]},
                               .ready = true,
                               .serving = true,
                               .terminating = false,
                               .node = "n0",
                               .zone = "a",
                               .hinted_zones = {},
                               .hinted_nodes = {},
                               .pod = "p0"};
  EXPECT_EQ(slices[0].endpoints, std::vector{expected});
}

TEST(Slices, ConditionsFollowThePod) {
  const struct {
    bool pod_ready, pod_terminating, publish;
    const char* expected;  // ready serving terminating
  } cases[] = {
      {true, false, false, "110"}, {false, false, false, "000"}, {true, true, false, "011"},
      {false, true, false, "001"}, {false, false, true, "100"},  {false, true, true, "101"},
      {true, true, true, "111"},
  };
  for (const auto& one : cases) {
    Pods pods;
    auto& pod = pods.add("p");
    pod.ready = one.pod_ready;
    pod.terminating = one.pod_terminating;
    auto wanted = service();
    wanted.publish_not_ready = one.publish;
    const auto endpoint = make(wanted, pods).at(0).endpoints.at(0);
    std::string text;
    for (const bool flag : {endpoint.ready, endpoint.serving, endpoint.terminating}) {
      text += flag ? '1' : '0';
    }
    EXPECT_EQ(text, one.expected);
  }
}

TEST(Slices, OthersPodsFinishedOnesAndThoseWithoutAddressAreNotThere) {
  Pods pods;
  pods.add("other").labels = {{"app", "other"}};
  pods.add("elsewhere").namespace_ = "elsewhere";
  pods.add("finished").phase = PodPhase::kSucceeded;
  pods.add("young").addresses.clear();
  const auto slices = make(service(), pods);
  ASSERT_EQ(slices.size(), 1U);
  EXPECT_TRUE(slices[0].endpoints.empty());
  EXPECT_TRUE(slices[0].ports.empty());
}

TEST(Slices, NoneWithoutSelectorOrForAnExternalName) {
  Pods pods;
  pods.add("p");
  auto bare = service();
  bare.selector.clear();
  EXPECT_TRUE(make(bare, pods).empty());
  auto name = service();
  name.type = ServiceType::kExternalName;
  EXPECT_TRUE(make(name, pods).empty());
}

TEST(Slices, EachFamilyHasItsOwn) {
  Pods pods;
  pods.add("both");
  pods.add("only4").addresses.resize(1);
  auto dual = service();
  dual.families = {Family::kIpv6, Family::kIpv4};
  const auto slices = make(dual, pods);
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[0].family, Family::kIpv6);
  EXPECT_EQ(names_of(slices[0]), "both ");
  EXPECT_EQ(names_of(slices[1]), "both only4 ");
  EXPECT_NE(slices[0].name, slices[1].name);
}

TEST(Slices, NamedPortsAreResolvedPodByPod) {
  Pods pods;
  const auto with_port = [&](const char* name, std::uint16_t port, Protocol protocol) {
    pods.add(name);
    pods.spec().containers[0].ports = {{.name = "web", .port = port, .protocol = protocol}};
  };
  with_port("old", 80, Protocol::kTcp);
  with_port("new", 8080, Protocol::kTcp);
  with_port("old2", 80, Protocol::kTcp);
  with_port("wrong", 80, Protocol::kUdp);
  auto named = service();
  named.ports = {{.name = "http", .port = 80, .target = {0, "web"}},
                 {.name = "admin", .port = 81, .target = {9000, ""}}};
  const auto slices = make(named, pods);
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(names_of(slices[0]), "old old2 ");
  EXPECT_EQ(slices[0].ports[0].port, 80);
  EXPECT_EQ(names_of(slices[1]), "new ");
  EXPECT_EQ(slices[1].ports[0].port, 8080);
  EXPECT_EQ(slices[2].ports, (std::vector<SlicePort>{{"admin", Protocol::kTcp, 9000}}));
}

TEST(Slices, HaveAtMostAHundredEndpoints) {
  Pods pods;
  for (int i = 0; i < 250; ++i) pods.add("p" + std::to_string(i));
  const auto slices = make(service(), pods);
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices[0].endpoints.size(), 100U);
  EXPECT_EQ(slices[1].endpoints.size(), 100U);
  EXPECT_EQ(slices[2].endpoints.size(), 50U);
  EXPECT_EQ(make(service(), pods, slices), slices);
}

TEST(Slices, EndpointsStayWhereTheyAre) {
  Pods pods;
  for (int i = 0; i < 150; ++i)
    pods.add("p" + std::to_string(i), static_cast<std::uint64_t>(i) + 1);
  const auto before = make(service(), pods);
  pods.all.pop_front();
  pods.add("new", 1000);
  const auto after = make(service(), pods, before);
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(after[0].name, before[0].name);
  EXPECT_EQ(after[0].endpoints.back().pod, "new");
  EXPECT_EQ(after[1], before[1]);
}

TEST(Slices, ALostGroupLeavesItsNameToTheNext) {
  Pods pods;
  pods.add("p");
  const auto before = make(service(), pods);
  auto changed = service();
  changed.ports[0].target.number = 9090;
  const auto after = make(changed, pods, before);
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].name, before[0].name);
  EXPECT_EQ(after[0].ports[0].port, 9090);
}

TEST(Slices, HintsAreWhereTheSliceControllerPutsThem) {
  const struct {
    TrafficDistribution distribution;
    bool ready;
    const char* node;
    std::vector<std::string> zones, nodes;
  } cases[] = {
      {TrafficDistribution::kNone, true, "n0", {}, {}},
      {TrafficDistribution::kPreferSameZone, true, "n0", {"a"}, {}},
      {TrafficDistribution::kPreferSameZone, true, "n9", {}, {}},
      {TrafficDistribution::kPreferSameZone, false, "n0", {}, {}},
      {TrafficDistribution::kPreferSameNode, true, "n1", {"b"}, {"n1"}},
      {TrafficDistribution::kPreferSameNode, true, "n9", {}, {"n9"}},
  };
  for (const auto& one : cases) {
    Pods pods;
    auto& pod = pods.add("p");
    pod.ready = one.ready;
    pod.node = one.node;
    auto wanted = service();
    wanted.distribution = one.distribution;
    const auto endpoint = make(wanted, pods).at(0).endpoints.at(0);
    EXPECT_EQ(endpoint.hinted_zones, one.zones);
    EXPECT_EQ(endpoint.hinted_nodes, one.nodes);
  }
}

}  // namespace
}  // namespace weir::local
