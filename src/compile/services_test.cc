// Which addresses a Service is served at, and how.
#include "compile/services.h"

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

using Lines = std::vector<std::string>;

const std::vector<EndpointSlice> kHereAndThere = {
    slice("cart-a", {endpoint("10.244.0.3", "n0"), endpoint("10.244.1.3", "n1")})};
const std::vector<EndpointSlice> kThere = {slice("cart-a", {endpoint("10.244.1.3", "n1")})};

struct Compiled {
  ServiceChanges changes;
  Lines complaints;
};

Compiled compiled(const Service& service, const std::vector<EndpointSlice>& slices = kHereAndThere,
                  const ServiceContext& context = fixture::context()) {
  Compiled out;
  out.changes = compile_service(service, slices, context, out.complaints);
  return out;
}

// The part of each line that begins with `field`.
Lines fields(const ServiceChanges& changes, const std::string& field) {
  Lines out;
  for (const std::string& line : to_lines(changes)) {
    const auto at = line.find(" " + field);
    if (at != std::string::npos) out.push_back(line.substr(at + 1 + field.size()));
  }
  return out;
}

Lines rows(const Service& service, const std::vector<EndpointSlice>& slices = kHereAndThere,
           const ServiceContext& context = fixture::context()) {
  return fields(compiled(service, slices, context).changes, "frontend=");
}

TEST(Service, ClusterIpHasItsPortAndARowForAllOthers) {
  EXPECT_THAT(rows(service()),
              UnorderedElementsAre("10.96.0.7:0 scope=any set=cluster flags=other-ports",
                                   "10.96.0.7:80 scope=any set=cluster flags=none"));
  EXPECT_THAT(fields(compiled(service()).changes, "backend="),
              ElementsAre("10.244.0.3:8080 sets=cluster node=this weight=1",
                          "10.244.1.3:8080 sets=cluster node=other weight=1"));
}

TEST(Service, TheRowForOtherPortsBelongsToTheFirstPortAlone) {
  Service two = service();
  two.ports = {port("web", 443), port("http", 80)};
  const auto changes = compiled(two).changes;
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_THAT(fields(changes, "frontend="),
              UnorderedElementsAre(HasSubstr("10.96.0.7:0 "), HasSubstr("10.96.0.7:80 "),
                                   HasSubstr("10.96.0.7:443 ")));
  const auto& first = changes.at({{"shop", "cart"}, "web", Protocol::kTcp, Family::kIpv4});
  EXPECT_EQ(first.frontends.size(), 2U);
}

TEST(Service, EveryPortHasItsOwnBackends) {
  Service two = service();
  two.ports = {port("http", 80), port("dns", 53, 0, Protocol::kUdp)};
  auto slices = kThere;
  slices[0].ports.push_back({"dns", Protocol::kUdp, 5353});
  EXPECT_THAT(to_lines(compiled(two, slices).changes),
              AllOf(Contains(HasSubstr("cart:http/TCP/IPv4 backend=10.244.1.3:8080 ")),
                    Contains(HasSubstr("cart:dns/UDP/IPv4 backend=10.244.1.3:5353 "))));
}

TEST(Service, OnePortOfTwoProtocolsIsTwoServicePorts) {
  Service dns = service();
  dns.ports = {port("dns-tcp", 53), port("dns", 53, 0, Protocol::kUdp),
               port("dns-sctp", 53, 0, Protocol::kSctp)};
  const auto out = compiled(dns);
  EXPECT_EQ(out.changes.size(), 3U);
  EXPECT_THAT(fields(out.changes, "frontend=10.96.0.7:53 "), ::testing::SizeIs(3));
  EXPECT_THAT(out.complaints, IsEmpty());
}

TEST(Service, BothFamiliesInEitherOrder) {
  for (const bool v4_first : {true, false}) {
    Service both = service();
    both.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
    both.families = {Family::kIpv4, Family::kIpv6};
    if (!v4_first) std::ranges::reverse(both.cluster_ips);
    if (!v4_first) std::ranges::reverse(both.families);
    const std::vector<EndpointSlice> slices = {
        slice("cart-a", {endpoint("10.244.1.3")}),
        slice("cart-b", {endpoint("fd00:1::3")}, Family::kIpv6)};
    const auto lines = to_lines(compiled(both, slices).changes);
    EXPECT_THAT(lines, Contains("shop/cart:http/TCP/IPv4 backend=10.244.1.3:8080 sets=cluster "
                                "node=other weight=1"));
    EXPECT_THAT(lines, Contains("shop/cart:http/TCP/IPv6 backend=[fd00:1::3]:8080 sets=cluster "
                                "node=other weight=1"));
    EXPECT_THAT(lines, Contains(HasSubstr("IPv6 frontend=[fd00:96::7]:80 scope=any")));
  }
}

TEST(Service, AFamilyWithoutClusterIpIsNotServed) {
  Service v4 = balancer();
  v4.families = {Family::kIpv4, Family::kIpv6};
  v4.external_ips = {addr("2001:db8::7")};
  v4.ingress = {{addr("2001:db8::8"), false}};
  EXPECT_THAT(rows(v4), UnorderedElementsAre(HasSubstr("10.96.0.7:0 "), HasSubstr("10.96.0.7:80 "),
                                             HasSubstr("0.0.0.0:30080 ")));
}

TEST(Service, WhatOthersServeHasNoEntries) {
  Service headless = balancer();
  headless.headless = true;
  Service external_name = balancer();
  external_name.type = ServiceType::kExternalName;
  Service other = balancer();
  other.other_proxy = true;
  Service without = balancer();
  without.cluster_ips.clear();
  for (const Service& none : {headless, external_name, other, without}) {
    EXPECT_THAT(compiled(none).changes, IsEmpty());
    EXPECT_THAT(compiled(none).complaints, IsEmpty());
  }
}

TEST(Service, ExternalAddressesAreForClientsOutside) {
  Lines expected = {"10.96.0.7:0 scope=any set=cluster flags=other-ports",
                    "10.96.0.7:80 scope=any set=cluster flags=none",
                    "0.0.0.0:30080 scope=any set=cluster flags=external+ring",
                    "192.0.2.7:80 scope=any set=cluster flags=external+ring",
                    "198.51.100.7:80 scope=any set=cluster flags=external+ring"};
  EXPECT_THAT(rows(balancer()), ::testing::UnorderedElementsAreArray(expected));
}

TEST(Service, NodePortsOfIpv6HaveTheZeroAddressOfIpv6) {
  Service v6 = balancer();
  v6.cluster_ips = {addr("fd00:96::7")};
  EXPECT_THAT(rows(v6), Contains("[::]:30080 scope=any set=cluster flags=external+ring"));
}

TEST(Service, TypeClusterIpHasExternalIpsButNeitherNodePortsNorBalancer) {
  Service plain = balancer();
  plain.type = ServiceType::kClusterIp;
  EXPECT_THAT(rows(plain),
              UnorderedElementsAre(HasSubstr("10.96.0.7:0 "), HasSubstr("10.96.0.7:80 "),
                                   HasSubstr("198.51.100.7:80 ")));
}

TEST(Service, TypeNodePortHasNoBalancer) {
  Service plain = balancer();
  plain.type = ServiceType::kNodePort;
  EXPECT_THAT(rows(plain), Not(Contains(HasSubstr("192.0.2.7"))));
  EXPECT_THAT(rows(plain), Contains(HasSubstr("0.0.0.0:30080")));
}

TEST(Service, ABalancerWithoutNodePortsHasNone) {
  Service without = balancer();
  without.allocate_node_ports = false;
  without.ports[0].node_port = 0;
  EXPECT_THAT(rows(without), Not(Contains(HasSubstr("0.0.0.0"))));
  EXPECT_THAT(rows(without), Contains(HasSubstr("192.0.2.7:80")));
}

TEST(Service, AProxyingBalancersAddressIsLeftToTheBalancer) {
  Service proxy = balancer();
  proxy.ingress = {{addr("192.0.2.7"), true}, {addr("192.0.2.8"), false}};
  EXPECT_THAT(rows(proxy), Not(Contains(HasSubstr("192.0.2.7"))));
  EXPECT_THAT(rows(proxy), Contains(HasSubstr("192.0.2.8:80")));
}

TEST(Service, ExternalIpsCanBeSwitchedOff) {
  auto off = context();
  off.external_ips = false;
  EXPECT_THAT(rows(balancer(), kThere, off), Not(Contains(HasSubstr("198.51.100.7"))));
}

TEST(Service, InternalPolicyLocalUsesOwnBackendsOnly) {
  Service local = service();
  local.internal_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(local), Contains("10.96.0.7:80 scope=any set=local flags=local"));
  EXPECT_THAT(fields(compiled(local).changes, "backend="),
              ElementsAre("10.244.0.3:8080 sets=local node=this weight=1"));
}

TEST(Service, InternalPolicyLocalDropsWhileOnlyOthersServe) {
  Service local = service();
  local.internal_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(local, kThere), Contains("10.96.0.7:80 scope=any set=local flags=local"));
  EXPECT_THAT(fields(compiled(local, kThere).changes, "backend="), IsEmpty());
}

TEST(Service, InternalPolicyLocalRejectsWhenNobodyServes) {
  Service local = service();
  local.internal_policy = TrafficPolicy::kLocal;
  const std::vector<EndpointSlice> none = {slice("cart-a", {unready(endpoint("10.244.1.3"))})};
  EXPECT_THAT(rows(local, none), Contains("10.96.0.7:80 scope=any set=local flags=none"));
}

TEST(Service, ExternalPolicyLocalHasAnotherRowForClientsInside) {
  Service local = balancer();
  local.external_policy = TrafficPolicy::kLocal;
  const auto out = rows(local);
  for (const char* place : {"0.0.0.0:30080", "192.0.2.7:80", "198.51.100.7:80"}) {
    const std::string text = place;
    EXPECT_THAT(out, Contains(text + " scope=any set=local flags=two-scopes+external+local+ring"));
    EXPECT_THAT(out, Contains(text + " scope=cluster set=cluster flags=none"));
  }
  EXPECT_THAT(out, Contains("10.96.0.7:80 scope=any set=cluster flags=none"));
  EXPECT_THAT(fields(compiled(local).changes, "backend="),
              ElementsAre("10.244.0.3:8080 sets=cluster+local node=this weight=1",
                          "10.244.1.3:8080 sets=cluster node=other weight=1"));
}

TEST(Service, ExternalPolicyLocalRejectsWhenNobodyServes) {
  Service local = balancer();
  local.external_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(local, {}),
              Contains("192.0.2.7:80 scope=any set=local flags=two-scopes+external+ring"));
}

TEST(Service, BothPoliciesLocalStillServeClientsInsideFromTheWholeCluster) {
  Service local = balancer();
  local.external_policy = local.internal_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(local), AllOf(Contains("10.96.0.7:80 scope=any set=local flags=local"),
                                 Contains("192.0.2.7:80 scope=cluster set=cluster flags=none")));
}

TEST(Service, SourceRangesAreForTheBalancersAddressAlone) {
  Service limited = balancer();
  limited.source_ranges = {cidr("203.0.113.0/24"), cidr("2001:db8::/32"), cidr("203.0.113.0/24")};
  const auto out = compiled(limited);
  EXPECT_THAT(
      rows(limited),
      AllOf(Contains("192.0.2.7:80 scope=any set=cluster flags=external+source-ranges+ring"),
            Contains("198.51.100.7:80 scope=any set=cluster flags=external+ring"),
            Contains("0.0.0.0:30080 scope=any set=cluster flags=external+ring"),
            Contains("10.96.0.7:80 scope=any set=cluster flags=none")));
  EXPECT_THAT(fields(out.changes, "source-ranges="), ElementsAre("203.0.113.0/24"));
}

TEST(Service, SourceRangesAreForClientsInsideToo) {
  Service limited = balancer();
  limited.source_ranges = {cidr("203.0.113.0/24")};
  limited.external_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(limited),
              Contains("192.0.2.7:80 scope=cluster set=cluster flags=source-ranges"));
}

TEST(Service, SourceRangesOfTheOtherFamilyDoNotLimitThisOne) {
  Service limited = balancer();
  limited.source_ranges = {cidr("2001:db8::/32")};
  EXPECT_THAT(rows(limited), Contains("192.0.2.7:80 scope=any set=cluster flags=external+ring"));
  EXPECT_THAT(fields(compiled(limited).changes, "source-ranges="), ElementsAre("any"));
}

TEST(Service, WithoutBalancerAddressSourceRangesAreNotKept) {
  Service limited = service();
  limited.source_ranges = {cidr("203.0.113.0/24")};
  EXPECT_THAT(fields(compiled(limited).changes, "source-ranges="), ElementsAre("any"));
}

TEST(Service, AnAddressGivenTwiceIsTheBalancersSoItsRangesHold) {
  Service limited = balancer();
  limited.external_ips = {addr("192.0.2.7")};
  limited.source_ranges = {cidr("203.0.113.0/24")};
  EXPECT_THAT(rows(limited),
              Contains("192.0.2.7:80 scope=any set=cluster flags=external+source-ranges+ring"));
  EXPECT_EQ(rows(limited).size(), 4U);
  EXPECT_THAT(compiled(limited).complaints, IsEmpty());
}

TEST(Service, DirectReturnIsForRemoteBackendsOfClientsOutside) {
  Service direct = balancer();
  direct.dsr = true;
  EXPECT_THAT(rows(direct),
              AllOf(Contains("192.0.2.7:80 scope=any set=cluster flags=external+ring+dsr"),
                    Contains("10.96.0.7:80 scope=any set=cluster flags=none")));
  auto everywhere = context();
  everywhere.dsr = true;
  EXPECT_EQ(rows(balancer(), kHereAndThere, everywhere), rows(direct));
  // What other nodes hand over is for the backends of this node.
  EXPECT_THAT(fields(compiled(direct).changes, "backend="),
              ElementsAre("10.244.0.3:8080 sets=cluster+local node=this weight=1",
                          "10.244.1.3:8080 sets=cluster node=other weight=1"));
  direct.external_policy = TrafficPolicy::kLocal;
  EXPECT_THAT(rows(direct), Not(Contains(HasSubstr("dsr"))));
}

TEST(Service, AffinityIsThatOfTheService) {
  Service sticky = service();
  sticky.affinity_seconds = 42;
  EXPECT_THAT(to_lines(compiled(sticky).changes), Contains(HasSubstr("affinity=42s")));
}

TEST(Service, OwnNodeFirstUsesOwnBackendsWhileOneIsReady) {
  Service dns = service();
  dns.own_node_first = true;
  EXPECT_THAT(rows(dns), Contains("10.96.0.7:80 scope=any set=local flags=none"));
  EXPECT_THAT(rows(dns, kThere), Contains("10.96.0.7:80 scope=any set=cluster flags=none"));
  const std::vector<EndpointSlice> ending = {
      slice("cart-a", {draining(endpoint("10.244.0.3", "n0")), endpoint("10.244.1.3")})};
  EXPECT_THAT(rows(dns, ending), Contains("10.96.0.7:80 scope=any set=cluster flags=none"));
}

TEST(Service, BadAddressesAreRefusedByNameAndTheRestIsServed) {
  Service bad = balancer();
  bad.cluster_ips = {addr("10.96.0.7"), addr("10.96.0.8")};
  bad.ingress = {{addr("0.0.0.0"), false}, {addr("192.0.2.7"), false}};
  bad.external_ips = {addr("127.0.0.1"), addr("224.0.0.1"), addr("198.51.100.7")};
  EXPECT_THAT(compiled(bad).complaints,
              UnorderedElementsAre(
                  HasSubstr("service shop/cart: clusterIP 10.96.0.8 is the second of its family"),
                  HasSubstr("service shop/cart: ingress 0.0.0.0 cannot be a Service's address"),
                  HasSubstr("service shop/cart: externalIP 127.0.0.1 cannot be"),
                  HasSubstr("service shop/cart: externalIP 224.0.0.1 cannot be")));
  EXPECT_EQ(rows(bad), rows(balancer()));
}

TEST(Service, BadPortsAreRefusedByNameAndTheRestIsServed) {
  Service bad = service();
  bad.ports = {port("zero", 0), port("http", 80), port("again", 80)};
  const auto out = compiled(bad);
  EXPECT_THAT(out.complaints, ElementsAre(HasSubstr("port 0 'zero' has no number"),
                                          HasSubstr("ports 1 and 2 both are 10.96.0.7 port 80/TCP; "
                                                    "it goes to port 1")));
  EXPECT_EQ(out.changes, compiled(service()).changes);
}

TEST(HostPort, IsServedAtEveryAddressOfTheNode) {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = "cart-0";
  pod.addresses = {addr("10.244.0.3"), addr("fd00::3")};
  pod.host_ports = {{Protocol::kTcp, 80, 8080, Address()}, {Protocol::kUdp, 80, 8081, Address()}};
  EXPECT_THAT(
      to_lines(compile_host_ports(pod)),
      AllOf(Contains("shop/cart-0:hostPort/TCP/80/TCP/IPv4 frontend=0.0.0.0:80 scope=any set=local "
                     "flags=external+local+host-port"),
            Contains("shop/cart-0:hostPort/TCP/80/TCP/IPv4 backend=10.244.0.3:8080 sets=local "
                     "node=this weight=1"),
            Contains("shop/cart-0:hostPort/UDP/80/UDP/IPv4 backend=10.244.0.3:8081 sets=local "
                     "node=this weight=1"),
            Contains("shop/cart-0:hostPort/TCP/80/TCP/IPv6 backend=[fd00::3]:8080 sets=local "
                     "node=this weight=1")));
}

TEST(HostPort, OfOneAddressIsServedThereAlone) {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = "cart-0";
  pod.addresses = {addr("10.244.0.3"), addr("fd00::3")};
  pod.host_ports = {{Protocol::kTcp, 80, 8080, addr("172.30.0.10")},
                    {Protocol::kTcp, 80, 8081, addr("172.30.0.11")},
                    {Protocol::kTcp, 81, 8082, addr("0.0.0.0")}};
  const auto changes = compile_host_ports(pod);
  EXPECT_THAT(fields(changes, "frontend="),
              UnorderedElementsAre(HasSubstr("172.30.0.10:80 "), HasSubstr("172.30.0.11:80 "),
                                   HasSubstr("0.0.0.0:81 ")));
  EXPECT_EQ(changes.size(), 3U);
}

TEST(HostPort, PodsWithoutAddressOfTheirOwnHaveNone) {
  Pod waiting;
  waiting.host_ports = {{Protocol::kTcp, 80, 8080, Address()}};
  Pod finished = waiting;
  finished.addresses = {addr("10.244.0.3")};
  Pod host = finished;
  finished.phase = PodPhase::kSucceeded;
  host.host_network = true;
  for (const Pod& pod : {waiting, finished, host}) {
    EXPECT_THAT(compile_host_ports(pod), IsEmpty());
  }
}

}  // namespace
}  // namespace weir
