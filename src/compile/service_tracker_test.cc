// What is compiled after which change, and who gets an address that several want.
#include "compile/service_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compile/service_fixture.h"

namespace weir {
namespace {

using namespace fixture;  // NOLINT(google-build-using-namespace)
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

Service named(Service out, const char* name, std::int64_t created = 0) {
  out.name = name;
  out.created = created;
  return out;
}

EndpointSlice belonging_to(EndpointSlice out, const char* service) {
  out.service = service;
  return out;
}

Node node(const char* name, const char* zone, std::vector<Cidr> pod_cidrs = {}) {
  Node out;
  out.name = name;
  out.zone = zone;
  out.pod_cidrs = std::move(pod_cidrs);
  return out;
}

Pod pod(const char* name, std::vector<HostPort> host_ports, const char* address = "10.244.0.3") {
  Pod out;
  out.namespace_ = "shop";
  out.name = name;
  out.node = "n0";
  out.addresses = {addr(address)};
  out.host_ports = std::move(host_ports);
  return out;
}

const HostPort kHostPort80 = {Protocol::kTcp, 80, 8080, Address()};

// A store and its tracker, and what the takes have added up to.
class Tracker : public ::testing::Test {
 protected:
  void put(const Object& object) { store.upsert(object); }
  void erase(const Object& object) { store.erase(kind_of(object), key_of(object)); }

  // How many Services were compiled.
  std::uint64_t take(std::size_t most = ServiceTracker::kAll) {
    const std::uint64_t before = tracker.compiled();
    for (auto& [key, entries] : tracker.take(most)) {
      if (entries.frontends.empty()) {
        EXPECT_EQ(entries, ServicePortEntries());
        held.erase(key);
      } else {
        held[key] = entries;
      }
    }
    return tracker.compiled() - before;
  }

  std::vector<std::string> lines() { return to_lines(held); }

  Store store;
  ServiceTracker tracker{store, context()};
  ServiceChanges held;
};

TEST_F(Tracker, NothingIsPendingUntilSomethingComes) {
  EXPECT_FALSE(tracker.pending());
  put(service());
  EXPECT_TRUE(tracker.pending());
  EXPECT_EQ(take(), 1U);
  EXPECT_FALSE(tracker.pending());
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/cart:http/TCP/IPv4 frontend=10.96.0.7:80 ")));
}

TEST_F(Tracker, AStoreThatIsThereAlreadyIsTakenIn) {
  put(node("n0", "a"));
  put(slice("cart-a",
            {for_zone(endpoint("10.244.1.3"), "a"), for_zone(endpoint("10.244.1.4"), "b")}));
  put(service());
  put(pod("host", {kHostPort80}));
  take();
  ServiceTracker late(store, context());
  EXPECT_EQ(late.take(), held);
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("10.244.1.4"))));
}

TEST_F(Tracker, AChangeCompilesTheServicesThatItConcerns) {
  for (int i = 0; i < 100; ++i) {
    const std::string name = "s" + std::to_string(i);
    Service one = named(service(), name.c_str());
    one.cluster_ips = {addr("10.96.1.0").plus(static_cast<std::uint64_t>(i))};
    put(one);
    put(belonging_to(slice((name + "-a").c_str(), {endpoint("10.244.1.3")}), name.c_str()));
  }
  EXPECT_EQ(take(), 100U);
  put(belonging_to(slice("s7-a", {endpoint("10.244.1.4")}), "s7"));
  EXPECT_EQ(take(), 1U);
  put(belonging_to(slice("s7-b", {endpoint("10.244.1.5")}), "s7"));
  put(belonging_to(slice("s8-a", {}), "s8"));
  EXPECT_EQ(take(), 2U);
  put(belonging_to(slice("s8-a", {}), "s9"));  // moves from one Service to the other
  EXPECT_EQ(take(), 2U);
  put(belonging_to(slice("s8-a", {}), "s9"));  // says nothing new
  put(belonging_to(slice("x-a", {endpoint("10.244.1.5")}), "nobody"));
  put(node("n1", "b", {cidr("10.244.1.0/24")}));
  put(pod("plain", {}));
  EXPECT_EQ(take(), 0U);
  erase(belonging_to(slice("s7-b", {}), "s7"));
  EXPECT_EQ(take(), 1U);
}

TEST_F(Tracker, TheOwnNodesZoneConcernsAll) {
  put(service());
  put(slice("cart-a",
            {for_zone(endpoint("10.244.1.3"), "a"), for_zone(endpoint("10.244.1.4"), "b")}));
  put(node("n1", "a"));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("10.244.1.4")));
  put(node("n0", "a"));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("10.244.1.4"))));
  put(node("n0", "b"));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(),
              AllOf(Contains(HasSubstr("10.244.1.4")), Not(Contains(HasSubstr("10.244.1.3")))));
  erase(node("n0", "b"));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Contains(HasSubstr("10.244.1.3")));
}

TEST_F(Tracker, SlicesMayComeBeforeTheirServiceAndStayAfterIt) {
  put(slice("cart-a", {endpoint("10.244.1.3")}));
  EXPECT_EQ(take(), 0U);
  put(service());
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("backend=10.244.1.3:8080")));
  erase(service());
  take();
  EXPECT_THAT(held, IsEmpty());
  put(slice("cart-a", {endpoint("10.244.1.4")}));
  EXPECT_EQ(take(), 0U);
  put(service());
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("backend=10.244.1.4:8080")));
}

TEST_F(Tracker, WhatAServiceGivesUpIsGone) {
  Service both = service();
  both.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
  both.ports = {port("http", 80), port("web", 443)};
  put(both);
  take();
  EXPECT_EQ(held.size(), 4U);
  both.ports.pop_back();
  put(both);
  take();
  EXPECT_EQ(held.size(), 2U);
  both.cluster_ips.pop_back();
  put(both);
  take();
  EXPECT_EQ(held.size(), 1U);
  both.ports[0].port = 0;
  put(both);
  take();
  EXPECT_THAT(held, IsEmpty());
}

TEST_F(Tracker, EveryChangeOfTypeIsFollowed) {
  Service none[4] = {service(), service(), service(), service()};
  none[0].headless = true;
  none[1].type = ServiceType::kExternalName;
  none[2].other_proxy = true;
  none[3].cluster_ips.clear();
  for (const Service& away : none) {
    put(balancer());
    take();
    EXPECT_EQ(held.begin()->second.frontends.size(), 5U);
    put(away);
    take();
    EXPECT_THAT(held, IsEmpty());
    put(service());
    take();
    EXPECT_EQ(held.begin()->second.frontends.size(), 2U);
  }
}

TEST_F(Tracker, AServiceThatGoesAndComesBetweenTakesIsNeverTakenAsGone) {
  put(service());
  take();
  erase(service());
  put(service());
  for (const auto& [key, entries] : tracker.take()) EXPECT_FALSE(entries.frontends.empty());
}

TEST_F(Tracker, AnAddressOfTwoServicesGoesToTheOlderWhicheverComesFirst) {
  const Service older = named(service(), "older", 100);
  const Service younger = named(service(), "another", 200);
  for (const bool older_first : {true, false}) {
    put(older_first ? older : younger);
    put(older_first ? younger : older);
    take();
    EXPECT_THAT(lines(), UnorderedElementsAre(HasSubstr("shop/older:http/TCP/IPv4 cluster="),
                                              HasSubstr("frontend=10.96.0.7:80 "),
                                              HasSubstr("frontend=10.96.0.7:0 ")));
    EXPECT_THAT(
        tracker.conflicts(),
        UnorderedElementsAre(
            "service shop/another: 10.96.0.7 port 80/TCP goes to service shop/older",
            "service shop/another: 10.96.0.7 (all other ports) goes to service shop/older"));
    erase(older);
    take();
    EXPECT_THAT(lines(), Contains(HasSubstr("shop/another:http/TCP/IPv4 frontend=10.96.0.7:80 ")));
    EXPECT_THAT(tracker.conflicts(), IsEmpty());
    erase(younger);
    take();
    EXPECT_THAT(held, IsEmpty());
  }
}

TEST_F(Tracker, ServicesOfOneAgeGoByNameAndThoseWithoutComeLast) {
  put(named(service(), "b", 100));
  put(named(service(), "c", 100));
  put(named(service(), "a", 0));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/b:http/TCP/IPv4 frontend=10.96.0.7:80 ")));
  erase(named(service(), "b"));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/c:http/TCP/IPv4 frontend=10.96.0.7:80 ")));
}

TEST_F(Tracker, ServicesShareAnAddressWhenTheirPortsDiffer) {
  Service web = named(balancer(), "web");
  web.cluster_ips = {addr("10.96.0.8")};
  web.external_ips.clear();
  web.ports = {port("web", 443)};
  put(balancer());
  put(web);
  take();
  EXPECT_THAT(lines(), AllOf(Contains(HasSubstr("cart:http/TCP/IPv4 frontend=192.0.2.7:80 ")),
                             Contains(HasSubstr("web:web/TCP/IPv4 frontend=192.0.2.7:443 "))));
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
}

TEST_F(Tracker, AnExternalIpNeverTakesAClusterIp) {
  Service thief = named(balancer(), "thief", 100);
  thief.cluster_ips = {addr("10.96.0.8")};
  thief.external_ips = {addr("10.96.0.7")};
  thief.ports = {port("http", 80)};
  put(thief);
  put(named(service(), "younger", 200));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/younger:http/TCP/IPv4 frontend=10.96.0.7:80 ")));
  EXPECT_THAT(
      tracker.conflicts(),
      ElementsAre("service shop/thief: 10.96.0.7 port 80/TCP goes to service shop/younger"));
}

TEST_F(Tracker, AnAddressChangesHandsWithinOneTake) {
  for (int i = 0; i < 20; ++i) {
    Service other = named(service(), ("s" + std::to_string(i)).c_str());
    other.cluster_ips = {addr("10.96.1.0").plus(static_cast<std::uint64_t>(i))};
    put(other);
  }
  put(named(service(), "m", 200));
  take();
  for (int i = 0; i < 20; ++i) {
    Service other = named(service(), ("s" + std::to_string(i)).c_str());
    other.cluster_ips = {addr("10.96.2.0").plus(static_cast<std::uint64_t>(i))};
    put(other);
  }
  put(named(service(), "older", 100));
  const auto changes = tracker.take(1);
  EXPECT_THAT(to_lines(changes),
              AllOf(Contains(HasSubstr("shop/older:http/TCP/IPv4 frontend=10.96.0.7:80 ")),
                    Contains("shop/m:http/TCP/IPv4 gone")));
}

TEST_F(Tracker, APartOfTheServicesAtATimeAddsUpToTheWhole) {
  for (int i = 0; i < 10; ++i) {
    Service one = named(service(), ("s" + std::to_string(i)).c_str());
    one.cluster_ips = {addr("10.96.1.0").plus(static_cast<std::uint64_t>(i))};
    put(one);
  }
  for (const std::uint64_t compiled : {4U, 4U, 2U}) {
    EXPECT_TRUE(tracker.pending());
    EXPECT_EQ(take(4), compiled);
  }
  EXPECT_FALSE(tracker.pending());
  EXPECT_EQ(held, ServiceTracker(store, context()).take());
}

TEST_F(Tracker, AHostPortWinsOverANodePort) {
  Service web = balancer();
  web.ports[0].node_port = 30080;
  put(web);
  put(pod("host", {{Protocol::kTcp, 30080, 8080, Address()}}));
  take();
  EXPECT_THAT(lines(),
              Contains(HasSubstr("shop/host:hostPort/TCP/30080/TCP/IPv4 frontend=0.0.0.0:30080")));
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("cart:http/TCP/IPv4 frontend=0.0.0.0:30080"))));
  EXPECT_THAT(tracker.conflicts(),
              ElementsAre("service shop/cart: IPv4 node port 30080/TCP goes to pod shop/host"));
  erase(pod("host", {}));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("cart:http/TCP/IPv4 frontend=0.0.0.0:30080")));
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
}

TEST_F(Tracker, AHostPortNeverTakesAServicesOwnAddress) {
  put(pod("host", {{Protocol::kTcp, 80, 8080, addr("198.51.100.7")}}));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("frontend=198.51.100.7:80")));
  put(balancer());
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("cart:http/TCP/IPv4 frontend=198.51.100.7:80")));
  EXPECT_THAT(tracker.conflicts(),
              ElementsAre("pod shop/host: 198.51.100.7 port 80/TCP goes to service shop/cart"));
}

TEST_F(Tracker, ARecreatedPodTakesItsHostPortOver) {
  Pod old = pod("b", {kHostPort80});
  put(old);
  old.terminating = true;
  put(pod("c", {kHostPort80}, "10.244.0.4"));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/b:hostPort/TCP/80/TCP/IPv4 frontend=0.0.0.0:80")));
  put(old);
  take();
  EXPECT_THAT(lines(),
              Contains(HasSubstr("shop/c:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.4:8080")));
  EXPECT_EQ(held.size(), 1U);
  erase(old);
  put(pod("c", {kHostPort80}, "10.244.0.5"));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("backend=10.244.0.5:8080")));
  EXPECT_EQ(held.size(), 1U);
}

// Of the same name, and gone before anybody has looked.
TEST_F(Tracker, APodThatLosesItsHostPortAndGoesLeavesNothing) {
  put(pod("host", {kHostPort80}));
  take();
  put(pod("host", {}));
  erase(pod("host", {}));
  put(pod("other", {kHostPort80}, "10.244.0.4"));
  take();
  EXPECT_EQ(held.size(), 1U);
  EXPECT_THAT(lines(),
              Contains(HasSubstr("shop/other:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.4")));
}

Endpoint sandbox(std::uint32_t handle, const char* pod, const char* address = "10.244.0.9") {
  Endpoint out;
  out.handle = handle;
  out.container_id = "c" + std::to_string(handle);
  out.ifname = "eth0";
  if (pod != nullptr) {
    out.pod_namespace = "shop";
    out.pod_name = pod;
  }
  out.addresses = {addr(address)};
  out.ports = {kHostPort80};
  return out;
}

TEST_F(Tracker, PortsOfASandboxAreServedWhileNoPodObjectIsKnown) {
  store.upsert(sandbox(1, "cart"));
  take();
  const auto of_sandbox =
      Contains(HasSubstr("c1/eth0:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.9:8080"));
  EXPECT_THAT(lines(), of_sandbox);
  EXPECT_EQ(held.size(), 1U);
  put(pod("cart", {}));
  take();
  EXPECT_THAT(held, IsEmpty()) << "the object says that there are none";
  put(pod("cart", {kHostPort80}));
  take();
  EXPECT_THAT(lines(),
              Contains(HasSubstr("shop/cart:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.3")));
  EXPECT_EQ(held.size(), 1U);
  erase(pod("cart", {kHostPort80}));
  take();
  EXPECT_THAT(lines(), of_sandbox);
  EXPECT_EQ(held.size(), 1U);
  store.erase_endpoint(1);
  take();
  EXPECT_THAT(held, IsEmpty());
  EXPECT_FALSE(tracker.pending());
}

TEST_F(Tracker, ASandboxGivesWayToPodsAndServices) {
  store.upsert(sandbox(1, nullptr));
  put(pod("zoo", {kHostPort80}));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("shop/zoo:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.3")));
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("backend=10.244.0.9"))));
  EXPECT_THAT(tracker.conflicts(),
              ElementsAre("sandbox c1/eth0: IPv4 node port 80/TCP goes to pod shop/zoo"));
  erase(pod("zoo", {kHostPort80}));
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("backend=10.244.0.9:8080")));
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
}

TEST_F(Tracker, SandboxesThatWereThereBeforeAreFoundInTheStore) {
  Store before;
  before.upsert(sandbox(1, nullptr));
  before.upsert(sandbox(2, "cart"));
  before.upsert(Object(pod("cart", {})));
  ServiceTracker later(before, context());
  const auto lines = to_lines(later.take());
  EXPECT_THAT(lines, Contains(HasSubstr("c1/eth0:hostPort/TCP/80")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("c2/eth0:"))));
}

TEST_F(Tracker, HostPortsOfOtherNodesPodsAreNotServed) {
  Pod other = pod("host", {kHostPort80});
  other.node = "n1";
  put(other);
  take();
  EXPECT_THAT(held, IsEmpty());
  other.node = "n0";
  put(other);
  take();
  EXPECT_EQ(held.size(), 1U);
  other.phase = PodPhase::kFailed;
  put(other);
  take();
  EXPECT_THAT(held, IsEmpty());
}

TEST_F(Tracker, AddressesInsideAPodRangeAreRefusedWhileItIsOne) {
  Service bad = balancer();
  bad.external_ips = {addr("10.244.1.7")};
  put(bad);
  take();
  EXPECT_THAT(lines(), Contains(HasSubstr("frontend=10.244.1.7:80")));
  put(node("n1", "", {cidr("10.244.1.0/24")}));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("frontend=10.244.1.7:80"))));
  EXPECT_THAT(lines(), Contains(HasSubstr("frontend=192.0.2.7:80")));
  EXPECT_THAT(tracker.conflicts(),
              ElementsAre("service shop/cart: 10.244.1.7 port 80/TCP lies in pod range "
                          "10.244.1.0/24; it is not served"));
  erase(node("n1", ""));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Contains(HasSubstr("frontend=10.244.1.7:80")));
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
}

TEST_F(Tracker, ANodesAddressIsNoClusterIpButMayBeExternal) {
  Node n1 = node("n1", "");
  n1.addresses = {addr("172.30.0.11"), addr("10.96.0.7")};
  put(n1);
  Service bad = balancer();
  bad.external_ips = {addr("172.30.0.11")};
  put(bad);
  put(named(
      [] {
        Service other = service();
        other.cluster_ips = {addr("10.96.0.9")};
        other.external_ips = {addr("10.96.0.7")};
        return other;
      }(),
      "external"));
  take();
  EXPECT_THAT(lines(), AllOf(Contains(HasSubstr("cart:http/TCP/IPv4 frontend=172.30.0.11:80")),
                             Contains(HasSubstr("external:http/TCP/IPv4 frontend=10.96.0.7:80"))));
  EXPECT_THAT(tracker.conflicts(),
              UnorderedElementsAre(
                  HasSubstr("service shop/cart: 10.96.0.7 port 80/TCP is a node's address"),
                  HasSubstr("service shop/cart: 10.96.0.7 (all other ports) is a node's address")));
}

TEST_F(Tracker, APodsWeightConcernsTheServicesThatNameIt) {
  put(service());
  put(named(service(), "other"));
  put(slice("cart-a", {of_pod(endpoint("10.244.1.3"), "big"), endpoint("10.244.1.4")}));
  take();
  Pod big = pod("big", {});
  big.node = "n1";
  big.weight = 3;
  put(big);
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(),
              AllOf(Contains(HasSubstr("10.244.1.3:8080 sets=cluster node=other weight=3")),
                    Contains(HasSubstr("10.244.1.4:8080 sets=cluster node=other weight=1"))));
  put(slice("cart-b", {of_pod(endpoint("10.244.1.5"), "big")}));
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Contains(HasSubstr("10.244.1.5:8080 sets=cluster node=other weight=3")));
  erase(big);
  EXPECT_EQ(take(), 1U);
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("weight=3"))));
}

TEST_F(Tracker, HealthCountsReadyEndpointsOfThisNode) {
  Service checked = balancer();
  checked.external_policy = TrafficPolicy::kLocal;
  checked.health_check_port = 32000;
  put(checked);
  put(named(balancer(), "unchecked"));
  EXPECT_THAT(tracker.health(), ElementsAre(ServiceTracker::Health{{"shop", "cart"}, 32000, 0}));
  put(slice("cart-a", {endpoint("10.244.0.3", "n0"), endpoint("10.244.1.3", "n1")}));
  EXPECT_THAT(tracker.health(), ElementsAre(ServiceTracker::Health{{"shop", "cart"}, 32000, 1}));
  put(slice("cart-a", {draining(endpoint("10.244.0.3", "n0"))}));
  EXPECT_THAT(tracker.health(), ElementsAre(ServiceTracker::Health{{"shop", "cart"}, 32000, 0}));
  checked.external_policy = TrafficPolicy::kCluster;
  put(checked);
  EXPECT_THAT(tracker.health(), IsEmpty());
}

TEST_F(Tracker, WhatIsWrongWithAServiceIsToldUntilItIsMended) {
  Service bad = service();
  bad.cluster_ips.push_back(addr("10.96.0.8"));
  put(bad);
  put(slice("cart-a", {endpoint("fd00::1")}));
  take();
  EXPECT_THAT(tracker.conflicts(), ElementsAre(HasSubstr("EndpointSlice cart-a has 1 endpoints"),
                                               HasSubstr("clusterIP 10.96.0.8 is the second")));
  put(service());
  put(slice("cart-a", {}));
  take();
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
  put(bad);
  take();
  erase(bad);
  take();
  EXPECT_THAT(tracker.conflicts(), IsEmpty());
}

}  // namespace
}  // namespace weir
