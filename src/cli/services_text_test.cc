#include "cli/services_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::cli {
namespace {

using api::ServiceBackendInfo;
using api::ServiceInfo;
using api::ServicePortInfo;
using testing::HasSubstr;
using testing::Not;

ServiceBackendInfo backend(const std::string& address, const std::string& node,
                           const std::string& cluster = "", const std::string& local = "") {
  ServiceBackendInfo made;
  made.address = address;
  made.port = 8080;
  made.pod = "cart-0";
  made.node = node;
  made.ready = made.serving = true;
  made.unused_cluster = cluster;
  made.unused_local = local;
  made.connections = 3;
  return made;
}

ServiceInfo cart(const std::string& node, std::vector<ServiceBackendInfo> backends,
                 const std::string& policy = "Cluster") {
  ServiceInfo made;
  made.node = node;
  made.namespace_ = "shop";
  made.name = "cart";
  made.type = "NodePort";
  made.internal_policy = "Cluster";
  made.external_policy = policy;
  made.ports.push_back(
      ServicePortInfo{"http",
                      "TCP",
                      "IPv4",
                      1,
                      {{"ClusterIP", "10.96.3.4", 80, "Cluster"}, {"NodePort", "*", 30080, policy}},
                      std::move(backends)});
  return made;
}

TEST(ServicesText, ARowForEachServiceOfAllNodesTogether) {
  ServiceInfo other;
  other.node = "n0";
  other.namespace_ = "db";
  other.name = "peers";
  other.type = "ClusterIP";
  other.headless = true;
  ServiceInfo on_n0 = cart("n0", {backend("10.244.0.5", "n0"), backend("10.244.1.5", "n1", "x")});
  on_n0.traffic.connections = 1000;
  on_n0.traffic.answer_ns = 300'000;
  on_n0.notes = {"service shop/cart: 192.0.2.7:80/TCP goes to service shop/web"};
  const auto services = by_service({cart("n1", {backend("10.244.0.5", "n0")}), other, on_n0});
  EXPECT_EQ(services_text(services),
            "SERVICE      TYPE      FRONTENDS                     BACKENDS  NOW  OVER   ANSWER\n"
            "db/peers     headless  -                             -         -    -      -\n"
            "shop/cart !  NodePort  10.96.3.4:80/TCP *:30080/TCP  1/2       9    1 000  0.3 ms\n"
            "! service shop/cart: 192.0.2.7:80/TCP goes to service shop/web\n");
}

TEST(ServiceText, BackendsAndWhyOneIsNotUsed) {
  ServiceBackendInfo sick = backend("10.244.0.6", "n0", "not ready", "not ready");
  sick.ready = sick.serving = false;
  const auto text = service_text({cart("n0", {backend("10.244.0.5", "n0"), sick})});
  EXPECT_THAT(text, HasSubstr("shop/cart  NodePort\n"));
  EXPECT_THAT(text, HasSubstr("\n  http TCP IPv4\n"
                              "    ClusterIP  10.96.3.4:80  Cluster\n"
                              "    NodePort   *:30080       Cluster\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "    10.244.0.5:8080  cart-0  n0    -     1       ready      3    yes\n"
          "    10.244.0.6:8080  cart-0  n0    -     1       not ready  3    no: not ready\n"));
}

TEST(ServiceText, WhereNodesDifferItSaysWhich) {
  const auto text =
      service_text({cart("n0", {backend("10.244.0.5", "n0")}, "Local"),
                    cart("n1", {backend("10.244.0.5", "n0", "", "other node")}, "Local")});
  EXPECT_THAT(text, HasSubstr("shop/cart  NodePort, external traffic policy Local\n"));
  EXPECT_THAT(text, HasSubstr("6    Cluster: yes; Local: on n0; else other node\n"));
  ServiceOnNodes many;
  for (int i = 0; i < 5; ++i) {
    many.push_back(
        cart("n" + std::to_string(i), {backend("10.244.0.5", "n0", i == 0 ? "other zone" : "")}));
  }
  EXPECT_THAT(service_text(many), HasSubstr("on 4 of 5 nodes; else other zone\n"));
}

TEST(ServiceText, HealthTrafficAndNotes) {
  ServiceInfo one = cart("n0", {});
  one.health = {32100, 2, ""};
  ServiceInfo two = cart("n1", {});
  two.health = {32100, 0, "Address already in use"};
  one.traffic = {.connections = 12,
                 .unanswered = 1,
                 .bytes_in = 5000,
                 .bytes_out = 900,
                 .dropped = 4,
                 .answer_ns = 200'000};
  one.notes = two.notes = {"externalIPs are off"};
  const auto text = service_text({one, two});
  EXPECT_THAT(text, HasSubstr("health check port 32100, endpoints by node: n0 2, n1 not served "
                              "(Address already in use)\n"));
  EXPECT_THAT(text, HasSubstr("12 connections are over, 1 of them unanswered, 5.0 kB ↑ 900 B ↓, "
                              "first answer after 0.2 ms, 4 drops\n"));
  EXPECT_THAT(text, HasSubstr("  ! externalIPs are off\n\n"));
  EXPECT_THAT(text, HasSubstr("no backends: connections are rejected\n"));
  EXPECT_THAT(service_text({cart("n0", {})}), Not(HasSubstr("health check")));
}

TEST(ServiceText, Ipv6AddressesAreInBrackets) {
  ServiceInfo one = cart("n0", {backend("fd00::5", "n0")});
  one.ports[0].frontends[0].address = "fd00:96::4";
  const auto text = service_text({one});
  EXPECT_THAT(text, HasSubstr("[fd00:96::4]:80"));
  EXPECT_THAT(text, HasSubstr("[fd00::5]:8080"));
}

}  // namespace
}  // namespace weir::cli
