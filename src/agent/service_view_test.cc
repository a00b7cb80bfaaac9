#include "agent/service_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "compile/service_fixture.h"

namespace weir {
namespace {

using fixture::addr;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ServiceViewTest : public testing::Test {
 protected:
  void SetUp() override {
    Node own;
    own.name = "n0";
    own.zone = "a";
    own.addresses = {addr("172.30.0.10")};
    own.pod_cidrs = {fixture::cidr("10.244.0.0/24")};
    store_.upsert(own);
  }

  void add(const Service& service) { store_.upsert(service); }
  void add(std::vector<SliceEndpoint> endpoints) {
    store_.upsert(fixture::slice("cart-1", std::move(endpoints)));
  }

  api::ServiceInfo cart() {
    tracker_.take();
    health_.update(tracker_.health(), false);
    auto one = view_.one({"shop", "cart"}, use_);
    EXPECT_TRUE(one) << one.error().text();
    return one ? *one : api::ServiceInfo();
  }

  Store store_;
  ServiceTracker tracker_{store_, fixture::context()};
  boost::asio::io_context loop_;
  HealthServers health_{loop_, 0};
  ServiceCounters counters_;
  api::ServiceUse use_;
  std::string complaint_;
  ServiceView view_{store_,
                    tracker_,
                    health_,
                    counters_,
                    {.id_of = [](const auto& key) { return key.family == Family::kIpv4 ? 4U : 6U; },
                     .complaint = [this](const auto&) { return complaint_; }}};
};

std::vector<std::string> lines(const std::vector<api::ServiceFrontendInfo>& frontends) {
  std::vector<std::string> out;
  for (const auto& one : frontends) {
    out.push_back(one.kind + " " + one.address + ":" + std::to_string(one.port) + " " + one.policy);
  }
  return out;
}

TEST_F(ServiceViewTest, EachFrontendWithItsPolicy) {
  Service service = fixture::balancer();
  service.external_policy = TrafficPolicy::kLocal;
  add(service);
  const api::ServiceInfo info = cart();
  EXPECT_EQ(info.type, "LoadBalancer");
  ASSERT_EQ(info.ports.size(), 1U);
  EXPECT_EQ(info.ports[0].id, 4U);
  EXPECT_THAT(lines(info.ports[0].frontends),
              testing::UnorderedElementsAre(
                  "ClusterIP 10.96.0.7:80 Cluster", "NodePort *:30080 Local",
                  "LoadBalancer 192.0.2.7:80 Local", "ExternalIP 198.51.100.7:80 Local"));
}

TEST_F(ServiceViewTest, BothFamiliesOfEachPort) {
  Service service = fixture::service();
  service.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
  service.ports = {fixture::port("http", 80), fixture::port("dns", 53, 0, Protocol::kUdp)};
  add(service);
  std::vector<std::string> ports;
  const api::ServiceInfo info = cart();
  for (const auto& port : info.ports) {
    ports.push_back(port.name + "/" + port.protocol + "/" + port.family + "/" +
                    port.frontends.at(0).address);
  }
  EXPECT_THAT(ports, ElementsAre("http/TCP/IPv4/10.96.0.7", "dns/UDP/IPv4/10.96.0.7",
                                 "http/TCP/IPv6/fd00:96::7", "dns/UDP/IPv6/fd00:96::7"));
}

TEST_F(ServiceViewTest, WhyABackendIsNotUsed) {
  Service service = fixture::service();
  service.internal_policy = TrafficPolicy::kLocal;
  add(service);
  add({fixture::of_pod(fixture::endpoint("10.244.0.5", "n0"), "cart-0"),
       fixture::endpoint("10.244.1.5"), fixture::unready(fixture::endpoint("10.244.0.6", "n0")),
       fixture::draining(fixture::endpoint("10.244.0.7", "n0"))});
  std::map<std::string, std::string> why;
  const api::ServiceInfo info = cart();
  for (const auto& backend : info.ports.at(0).backends) {
    why[backend.address] = backend.unused_cluster + "|" + backend.unused_local;
    EXPECT_EQ(backend.pod, backend.address == "10.244.0.5" ? "cart-0" : "");
  }
  const std::map<std::string, std::string> expected = {
      {"10.244.0.5", "|"},
      {"10.244.1.5", "|other node"},
      {"10.244.0.6", "not ready|not ready"},
      {"10.244.0.7", "terminating|terminating"},
  };
  EXPECT_EQ(why, expected);
}

// A backend that has left stays to be seen while connections to it live on.
TEST_F(ServiceViewTest, ConnectionsOfEachBackendAndOfFormerOnes) {
  add(fixture::service());
  add({fixture::endpoint("10.244.0.5", "n0")});
  use_.connections = {{{3, addr("10.244.0.5"), 8080}, 100},
                      {{4, addr("10.244.0.5"), 8080}, 7},
                      {{4, addr("10.244.0.9"), 8080}, 2},
                      {{5, addr("10.244.0.5"), 8080}, 100}};
  const auto backends = cart().ports.at(0).backends;
  ASSERT_EQ(backends.size(), 2U);
  EXPECT_EQ(backends[0].connections, 7U);
  EXPECT_EQ(backends[1].address, "10.244.0.9");
  EXPECT_EQ(backends[1].connections, 2U);
  EXPECT_EQ(backends[1].unused_cluster, "no endpoint any more");
}

TEST_F(ServiceViewTest, HealthCheckPort) {
  Service service = fixture::balancer();
  service.external_policy = TrafficPolicy::kLocal;
  service.health_check_port = 1;
  add(service);
  add({fixture::endpoint("10.244.0.5", "n0"), fixture::endpoint("10.244.1.5")});
  const auto health = cart().health;
  EXPECT_EQ(health.port, 1);
  EXPECT_EQ(health.local_endpoints, 1U);
}

TEST_F(ServiceViewTest, WhatIsNotServedIsNoFrontendButANote) {
  add(fixture::service());
  Service second = fixture::service();
  second.name = "web";
  add(second);
  EXPECT_EQ(lines(cart().ports.at(0).frontends).size(), 1U);
  const auto web = view_.one({"shop", "web"}, use_);
  ASSERT_TRUE(web);
  EXPECT_THAT(web->ports.at(0).frontends, IsEmpty());
  EXPECT_THAT(web->notes, testing::Contains(HasSubstr("goes to service shop/cart")));
}

TEST_F(ServiceViewTest, WhatDoesNotFitIsANote) {
  add(fixture::service());
  EXPECT_THAT(cart().notes, IsEmpty());
  complaint_ = "Service port shop/cart:http/TCP/IPv4: no room";
  EXPECT_THAT(cart().notes, ElementsAre(complaint_));
}

TEST_F(ServiceViewTest, HeadlessExternalNameAndOtherProxysHaveNoPorts) {
  Service service = fixture::service();
  service.headless = true;
  service.cluster_ips.clear();
  add(service);
  EXPECT_TRUE(cart().headless);
  EXPECT_THAT(cart().ports, IsEmpty());
  service = fixture::service();
  service.other_proxy = true;
  add(service);
  EXPECT_THAT(cart().ports, IsEmpty());
  EXPECT_THAT(cart().notes, ElementsAre(HasSubstr("another proxy's")));
}

TEST_F(ServiceViewTest, ListsInOrderFromWhereItWasLeft) {
  for (const char* name : {"a", "b", "c"}) {
    Service service = fixture::service();
    service.name = name;
    add(service);
  }
  const auto names = [&](const ObjectKey& after, std::size_t most) {
    std::string out;
    for (const auto& one : view_.list(after, most, use_)) out += one.name;
    return out;
  };
  EXPECT_EQ(names({}, 2), "ab");
  EXPECT_EQ(names({"shop", "b"}, 2), "c");
  EXPECT_EQ(names({"shop", "c"}, 2), "");
  EXPECT_EQ(view_.one({"shop", "x"}, use_).error(),
            Error(Code::kNotFound, "service: there is no Service shop/x"));
}

TEST_F(ServiceViewTest, TrafficOfTheService) {
  add(fixture::service());
  Flow flow;
  flow.type = FlowType::kEnded;
  flow.service_id = 4;
  flow.service = std::make_shared<const ServiceName>(ServiceName{"shop", "cart", "http"});
  flow.service_id = 1;
  flow.bytes = {10, 20};
  counters_.add(flow);
  const auto traffic = cart().traffic;
  EXPECT_EQ(traffic.connections, 1U);
  EXPECT_EQ(traffic.unanswered, 1U);
  EXPECT_EQ(traffic.bytes_out, 20U);
}

}  // namespace
}  // namespace weir
