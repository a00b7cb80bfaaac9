#include "local/allocation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "local/manifest_json.h"

namespace weir::local {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

Cluster cluster_of(Families families) {
  Cluster cluster;
  cluster.families = families;
  return cluster;
}

const ServiceRanges kDual = service_ranges(cluster_of(Families::kDual));
const ServiceRanges kIpv6Only = service_ranges(cluster_of(Families::kIpv6));

ServiceManifest service(const std::string& name, ServiceType type = ServiceType::kClusterIp) {
  ServiceManifest manifest;
  manifest.meta.namespace_ = manifest.service.namespace_ = "shop";
  manifest.meta.name = manifest.service.name = name;
  manifest.service.type = type;
  manifest.service.selector = {{"app", name}};
  manifest.service.ports = {{.name = "http", .port = 80, .target = {8080, ""}}};
  return manifest;
}

// What the Services are after both, or the refusal's words.
struct Outcome {
  std::vector<ServiceManifest> services;
  std::string refusal;
};

Outcome apply(std::vector<ServiceManifest> wanted,
              const std::vector<ServiceManifest>& existing = {},
              const ServiceRanges& ranges = kDual, std::int64_t now = kNow) {
  auto result = allocate_services(ranges, existing, std::move(wanted), now);
  if (!result) return {{}, result.error().text()};
  return {std::move(*result), ""};
}

Service only(ServiceManifest wanted, const std::vector<ServiceManifest>& existing = {},
             const ServiceRanges& ranges = kDual) {
  const auto outcome = apply({std::move(wanted)}, existing, ranges);
  EXPECT_EQ(outcome.refusal, "");
  return outcome.services.empty() ? Service() : outcome.services.front().service;
}

std::string families_of(const Service& service) {
  std::string text;
  for (const auto family : service.families) text += family == Family::kIpv4 ? '4' : '6';
  text += '|';
  for (const auto& address : service.cluster_ips) text += address.is_v4() ? '4' : '6';
  return text;
}

TEST(Allocation, FamiliesFollowThePolicy) {
  using enum FamilyPolicy;
  constexpr auto k4 = Family::kIpv4;
  constexpr auto k6 = Family::kIpv6;
  const struct {
    std::optional<FamilyPolicy> policy;
    std::vector<Family> families;
    const ServiceRanges& ranges;
    const char* expected;
  } cases[] = {
      {std::nullopt, {}, kDual, "4|4"},         {std::nullopt, {k6}, kDual, "6|6"},
      {kSingleStack, {k6}, kDual, "6|6"},       {kPreferDualStack, {}, kDual, "46|46"},
      {kPreferDualStack, {k6}, kDual, "64|64"}, {kRequireDualStack, {k6, k4}, kDual, "64|64"},
      {kPreferDualStack, {}, kIpv6Only, "6|6"}, {std::nullopt, {}, kIpv6Only, "6|6"},
  };
  for (const auto& one : cases) {
    auto wanted = service("cart");
    wanted.family_policy = one.policy;
    wanted.service.families = one.families;
    EXPECT_EQ(families_of(only(wanted, {}, one.ranges)), one.expected);
  }
}

TEST(Allocation, ClusterIpsSayTheFamilies) {
  auto wanted = service("cart");
  wanted.family_policy = FamilyPolicy::kPreferDualStack;
  wanted.service.cluster_ips = {*Address::parse("fd00:96::7")};
  const auto given = only(wanted);
  EXPECT_EQ(families_of(given), "64|64");
  EXPECT_EQ(given.cluster_ips[0].to_string(), "fd00:96::7");
}

TEST(Allocation, HeadlessAndExternalNameHaveNoClusterIps) {
  auto headless = service("headless");
  headless.service.headless = true;
  EXPECT_EQ(families_of(only(headless)), "4|");
  headless.service.selector.clear();
  EXPECT_EQ(families_of(only(headless)), "46|");
  EXPECT_EQ(families_of(only(service("name", ServiceType::kExternalName))), "|");
}

// A controller that starts again reads what it has written.
TEST(Allocation, WhatIsGivenCanBeWrittenAndReadAgain) {
  auto headless = service("headless");
  headless.service.headless = true;
  auto bare = headless;
  bare.meta.name = bare.service.name = "bare";
  bare.service.selector.clear();
  auto dual = service("dual", ServiceType::kNodePort);
  dual.family_policy = FamilyPolicy::kPreferDualStack;
  auto balancer = service("balancer", ServiceType::kLoadBalancer);
  balancer.service.external_policy = TrafficPolicy::kLocal;
  auto without_ports = service("without-ports", ServiceType::kLoadBalancer);
  without_ports.service.allocate_node_ports = false;
  auto name = service("name", ServiceType::kExternalName);
  name.external_name = "db.example.com";
  const auto given = apply({service("plain"), headless, bare, dual, balancer, without_ports, name});
  ASSERT_EQ(given.refusal, "");
  for (const auto& one : given.services) {
    const auto again = parse_manifests(to_manifest(one), "again.yaml", {"shop"});
    ASSERT_TRUE(again.ok()) << again.errors.front() << "\n" << to_manifest(one);
    EXPECT_EQ(again.manifests.services.at(0).service, one.service) << to_manifest(one);
    EXPECT_EQ(again.manifests.services[0].family_policy, one.family_policy);
    EXPECT_EQ(again.manifests.services[0].external_name, one.external_name);
  }
}

TEST(Allocation, AddressesAreStableAndDistinct) {
  std::vector<ServiceManifest> wanted;
  for (int i = 0; i < 3000; ++i) wanted.push_back(service("s" + std::to_string(i)));
  const auto first = apply(wanted);
  ASSERT_EQ(first.services.size(), 3000U);
  std::set<Address> addresses;
  for (const auto& one : first.services) {
    const auto address = one.service.cluster_ips.at(0);
    EXPECT_TRUE(Cidr::parse("10.96.0.0/16")->contains(address));
    addresses.insert(address);
  }
  EXPECT_EQ(addresses.size(), 3000U);

  std::ranges::reverse(wanted);
  auto again = apply(wanted, first.services, kDual, kNow + 100);
  std::ranges::reverse(again.services);
  for (std::size_t i = 0; i < 3000; ++i) {
    EXPECT_EQ(again.services[i].service, first.services[i].service);
  }
}

TEST(Allocation, AWholeRangeCanBeGivenAway) {
  auto ranges = kDual;
  ranges.cluster_ips = {*Cidr::parse("10.96.0.0/28")};
  std::vector<ServiceManifest> wanted;
  for (int i = 0; i < 14; ++i) wanted.push_back(service("s" + std::to_string(i)));
  EXPECT_EQ(apply(wanted, {}, ranges).refusal, "");
  wanted.push_back(service("one-more"));
  EXPECT_EQ(apply(wanted, {}, ranges).refusal, "Service shop/one-more: 10.96.0.0/28 is full");
}

TEST(Allocation, NodePortsAreKeptByName) {
  auto wanted = service("cart", ServiceType::kNodePort);
  wanted.service.ports.push_back({.name = "admin", .port = 81, .target = {8081, ""}});
  const auto first = apply({wanted}).services;
  const auto& ports = first.at(0).service.ports;
  for (const auto& port : ports) {
    EXPECT_GE(port.node_port, 30000);
    EXPECT_LE(port.node_port, 32767);
  }
  EXPECT_NE(ports[0].node_port, ports[1].node_port);

  std::swap(wanted.service.ports[0], wanted.service.ports[1]);
  wanted.service.ports[0].port = 8181;
  const auto again = only(wanted, first);
  EXPECT_EQ(again.ports[0].node_port, ports[1].node_port);
  EXPECT_EQ(again.ports[1].node_port, ports[0].node_port);
}

TEST(Allocation, TwoProtocolsOfAPortShareTheNodePort) {
  auto wanted = service("dns", ServiceType::kNodePort);
  wanted.service.ports = {
      {.name = "tcp", .port = 53, .target = {53, ""}},
      {.name = "udp", .protocol = Protocol::kUdp, .port = 53, .target = {53, ""}}};
  const auto given = only(wanted);
  EXPECT_EQ(given.ports[0].node_port, given.ports[1].node_port);
}

TEST(Allocation, ChangesOfTypeGiveAndTakeBack) {
  auto wanted = service("cart", ServiceType::kLoadBalancer);
  wanted.service.external_policy = TrafficPolicy::kLocal;
  wanted.family_policy = FamilyPolicy::kPreferDualStack;
  const auto balanced = apply({wanted}).services;
  EXPECT_EQ(balanced[0].service.ingress.size(), 2U);
  EXPECT_NE(balanced[0].service.health_check_port, 0);
  EXPECT_NE(balanced[0].service.ports[0].node_port, 0);

  wanted.service.type = ServiceType::kClusterIp;
  const auto plain = apply({wanted}, balanced).services;
  EXPECT_EQ(plain[0].service.cluster_ips, balanced[0].service.cluster_ips);
  EXPECT_TRUE(plain[0].service.ingress.empty());
  EXPECT_EQ(plain[0].service.health_check_port, 0);
  EXPECT_EQ(plain[0].service.ports[0].node_port, 0);

  wanted.service.type = ServiceType::kExternalName;
  const auto name = apply({wanted}, plain).services;
  EXPECT_TRUE(name[0].service.cluster_ips.empty());
  EXPECT_EQ(name[0].family_policy, std::nullopt) << "a name may not have one";

  wanted.service.type = ServiceType::kNodePort;
  const auto again = only(wanted, name);
  EXPECT_EQ(again.cluster_ips.size(), 2U);
  EXPECT_NE(again.ports[0].node_port, 0);
}

TEST(Allocation, ABalancerNeedsNoNodePorts) {
  auto wanted = service("cart", ServiceType::kLoadBalancer);
  const auto with = apply({wanted}).services;
  EXPECT_NE(with[0].service.ports[0].node_port, 0);
  wanted.service.allocate_node_ports = false;
  EXPECT_EQ(only(wanted, with).ports[0].node_port, 0);
  wanted.service.ports[0].node_port = 30100;
  EXPECT_EQ(only(wanted, with).ports[0].node_port, 30100);
}

TEST(Allocation, AnothersBalancerStays) {
  auto wanted = service("cart", ServiceType::kLoadBalancer);
  wanted.service.ingress = {{*Address::parse("203.0.113.9"), true}};
  EXPECT_EQ(only(wanted).ingress, wanted.service.ingress);
}

TEST(Allocation, WhoAsksComesFirst) {
  const auto taken = only(service("cart")).cluster_ips;
  auto asking = service("asks");
  asking.service.cluster_ips = taken;
  const auto both = apply({service("cart"), asking});
  ASSERT_EQ(both.refusal, "");
  EXPECT_EQ(both.services[1].service.cluster_ips, taken);
  EXPECT_NE(both.services[0].service.cluster_ips, taken);
}

TEST(Allocation, TheTimeOfCreationStays) {
  const auto first = apply({service("cart")}).services;
  EXPECT_EQ(first[0].service.created, kNow);
  const auto again = apply({service("cart"), service("new")}, first, kDual, kNow + 5).services;
  EXPECT_EQ(again[0].service.created, kNow);
  EXPECT_EQ(again[1].service.created, kNow + 5);
}

TEST(Allocation, RefusalsNameTheServiceAndTheCause) {
  const auto cart = [] {
    auto wanted = service("cart", ServiceType::kNodePort);
    wanted.service.ports[0].node_port = 30080;
    wanted.service.cluster_ips = {*Address::parse("10.96.0.80")};
    return apply({wanted}).services;
  }();
  const struct {
    std::function<void(ServiceManifest&)> change;
    const ServiceRanges& ranges;
    const char* expected;
  } cases[] = {
      {[](auto& m) { m.service.cluster_ips = {*Address::parse("10.96.0.80")}; }, kDual,
       "clusterIP 10.96.0.80 is taken by Service shop/cart"},
      {[](auto& m) { m.service.cluster_ips = {*Address::parse("10.97.0.1")}; }, kDual,
       "clusterIP 10.97.0.1 is not in 10.96.0.0/16, the cluster's range"},
      {[](auto& m) { m.service.cluster_ips = {*Address::parse("10.96.255.255")}; }, kDual,
       "clusterIP 10.96.255.255 is not in 10.96.0.0/16, the cluster's range"},
      {[](auto& m) {
         m.service.cluster_ips = {*Address::parse("10.96.0.81")};
         m.service.families = {Family::kIpv6};
       },
       kDual, "clusterIP 10.96.0.81 is not of its family, which is IPv6"},
      {[](auto& m) { m.service.ports[0].node_port = 30080; }, kDual,
       "nodePort 30080 is taken by Service shop/cart"},
      {[](auto& m) { m.service.ports[0].node_port = 80; }, kDual,
       "nodePort 80 is not in 30000-32767, the cluster's range"},
      {[](auto& m) {
         m.service.ports[0].node_port = 30081;
         m.service.type = ServiceType::kClusterIp;
       },
       kDual, "nodePort 30081: a Service of type ClusterIP has none"},
      {[](auto& m) {
         m.service.type = ServiceType::kLoadBalancer;
         m.service.external_policy = TrafficPolicy::kLocal;
         m.service.health_check_port = 30080;
       },
       kDual, "healthCheckNodePort 30080 is taken by Service shop/cart"},
      {[](auto& m) { m.service.families = {Family::kIpv4, Family::kIpv6}; }, kDual,
       "two families want ipFamilyPolicy PreferDualStack or RequireDualStack"},
      {[](auto& m) { m.service.families = {Family::kIpv4}; }, kIpv6Only,
       "this cluster has no IPv4: see `weir up --family`"},
      {[](auto& m) { m.family_policy = FamilyPolicy::kRequireDualStack; }, kIpv6Only,
       "ipFamilyPolicy RequireDualStack: this cluster has one family only: see `weir up --family`"},
      {[](auto& m) {
         m.service.type = ServiceType::kLoadBalancer;
         m.balancer_ip = *Address::parse("10.0.0.1");
       },
       kDual, "loadBalancerIP 10.0.0.1 is not in 198.51.100.0/24, the cluster's range"},
  };
  for (const auto& one : cases) {
    auto wanted = service("new", ServiceType::kNodePort);
    one.change(wanted);
    EXPECT_EQ(apply({wanted}, cart, one.ranges).refusal,
              std::string("Service shop/new: ") + one.expected);
  }
}

TEST(Allocation, AClusterIpIsForLife) {
  const auto first = apply({service("cart")}).services;
  const auto old = first[0].service.cluster_ips[0].to_string();
  auto other = service("cart");
  other.service.cluster_ips = {*Address::parse("10.96.0.9")};
  EXPECT_EQ(
      apply({other}, first).refusal,
      "Service shop/cart: clusterIP " + old + " cannot become 10.96.0.9: delete the Service first");
  auto headless = service("cart");
  headless.service.headless = true;
  EXPECT_EQ(apply({headless}, first).refusal, "Service shop/cart: clusterIP " + old +
                                                  " cannot become None: delete the Service first");
  auto family = service("cart");
  family.service.families = {Family::kIpv6};
  EXPECT_EQ(apply({family}, first).refusal,
            "Service shop/cart: the first of ipFamilies cannot change: delete the Service first");
}

TEST(Allocation, DualStackComesAndGoes) {
  const auto single = apply({service("cart")}).services;
  auto wanted = service("cart");
  wanted.family_policy = FamilyPolicy::kPreferDualStack;
  const auto dual = apply({wanted}, single).services;
  EXPECT_EQ(families_of(dual[0].service), "46|46");
  EXPECT_EQ(dual[0].service.cluster_ips[0], single[0].service.cluster_ips[0]);
  wanted.family_policy = FamilyPolicy::kSingleStack;
  EXPECT_EQ(only(wanted, dual).cluster_ips, single[0].service.cluster_ips);
}

}  // namespace
}  // namespace weir::local
