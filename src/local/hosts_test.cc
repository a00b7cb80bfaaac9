#include "local/hosts.h"

#include <gtest/gtest.h>

#include "local/container.h"
#include "local/prober.h"
#include "local/readiness.h"

namespace weir::local {
namespace {

Pod pod(const char* ns, const char* name, const char* address, bool ready = true) {
  Pod result;
  result.namespace_ = ns;
  result.name = name;
  result.labels = {{"app", "cart"}};
  result.addresses = {*Address::parse(address)};
  result.ready = ready;
  result.phase = PodPhase::kRunning;
  return result;
}

Service cart() {
  Service service;
  service.namespace_ = "shop";
  service.name = "cart";
  service.selector = {{"app", "cart"}};
  service.cluster_ips = {*Address::parse("10.96.0.7"), *Address::parse("fd00:96::7")};
  return service;
}

Service headless_cart() {
  Service service = cart();
  service.headless = true;
  service.cluster_ips.clear();
  return service;
}

bool has(const std::string& text, const std::string& line) {
  return text.find(line + "\n") != std::string::npos;
}

TEST(Hosts, NamePodsAndServices) {
  const auto self = pod("shop", "front", "10.244.0.2");
  const auto text = render_hosts(self, {self, pod("other", "a", "fd00::5")}, {cart()});
  EXPECT_TRUE(has(text, "127.0.0.1\tlocalhost")) << text;
  EXPECT_TRUE(has(text, "10.244.0.2\tfront front.shop")) << text;
  EXPECT_TRUE(has(text, "fd00::5\ta.other")) << text;
  const std::string names = "\tcart cart.shop cart.shop.svc cart.shop.svc.cluster.local";
  EXPECT_TRUE(has(text, "10.96.0.7" + names)) << text;
  EXPECT_TRUE(has(text, "fd00:96::7" + names)) << text;
  EXPECT_FALSE(has(text, "10.244.0.2" + names)) << text;
}

TEST(Hosts, ShortNamesAreForTheOwnNamespace) {
  const auto backend = pod("shop", "cart-1", "10.244.0.3");
  const auto text = render_hosts(pod("other", "x", "10.244.0.9"), {backend}, {headless_cart()});
  EXPECT_TRUE(has(text, "10.244.0.3\tcart-1.shop")) << text;
  EXPECT_TRUE(has(text, "10.244.0.3\tcart.shop cart.shop.svc cart.shop.svc.cluster.local")) << text;
}

TEST(Hosts, HeadlessServicesHaveReadyPodsOnly) {
  const auto self = pod("shop", "front", "10.244.0.2", false);
  auto leaving = pod("shop", "leaving", "10.244.0.4");
  leaving.terminating = true;
  auto done = pod("shop", "done", "10.244.0.5");
  done.phase = PodPhase::kSucceeded;
  const auto text = render_hosts(self, {self, leaving, done}, {headless_cart()});
  EXPECT_EQ(text.find("cart"), std::string::npos) << text;
  EXPECT_EQ(text.find("10.244.0.5"), std::string::npos) << text;
}

TEST(Readiness, NeedsAnswersInARow) {
  Readiness readiness(2, 3);
  const struct {
    bool good;
    bool ready;
  } kSteps[] = {{true, false}, {false, false}, {true, false}, {true, true},  {false, true},
                {false, true}, {true, true},   {false, true}, {false, true}, {false, false}};
  for (const auto& step : kSteps) {
    const bool before = readiness.ready();
    EXPECT_EQ(readiness.answer(step.good), before != step.ready);
    EXPECT_EQ(readiness.ready(), step.ready);
  }
}

TEST(Probe, JudgesHttpAnswersByStatus) {
  EXPECT_TRUE(is_good_answer("HTTP/1.1 200 OK"));
  EXPECT_TRUE(is_good_answer("HTTP/1.0 302 Found"));
  for (const char* text : {"HTTP/1.1 404 Not", "HTTP/1.1 500 I", "HTTP/1.1", "SSH-2.0-OpenSSH_9",
                           "", "HTTP/2 200 OK"}) {
    EXPECT_FALSE(is_good_answer(text)) << text;
  }
}

TEST(Probe, RequestNamesTheHost) {
  Probe probe;
  probe.port = 80;
  const auto text = probe_request(probe, *Address::parse("fd00::1"));
  EXPECT_NE(text.find("Host: [fd00::1]:80\r\n"), std::string::npos) << text;
  probe.headers["Host"] = "shop";
  EXPECT_NE(probe_request(probe, *Address::parse("fd00::1")).find("\r\nHost: shop\r\n"),
            std::string::npos);
}

TEST(Container, VariablesAreExpanded) {
  const std::map<std::string, std::string> env = {{"A", "1"}, {"B", "two"}};
  const struct {
    const char* text;
    const char* expected;
  } kCases[] = {{"$(A)-$(B)", "1-two"}, {"$(C)", "$(C)"}, {"$$(A)", "$(A)"},
                {"$A $", "$A $"},       {"$(A", "$(A"},   {"", ""}};
  for (const auto& test : kCases) EXPECT_EQ(expand_variables(test.text, env), test.expected);
}

TEST(Container, WithoutCommandItIsTheServer) {
  Container container;
  container.ports = {{"", 80, Protocol::kTcp}, {"", 53, Protocol::kUdp}};
  const auto self = pod("shop", "front", "10.244.0.2");
  const auto argv = [&] { return make_container(container, self, {}, Address(), "").argv; };
  using Words = std::vector<std::string>;
  EXPECT_EQ(argv(), (Words{"weir-pod-server", "--http", "80", "--udp-echo", "53"}));
  container.args = {"--tcp-echo", "1"};
  EXPECT_EQ(argv(), (Words{"weir-pod-server", "--tcp-echo", "1"}));
  container.command = {"sh"};
  EXPECT_EQ(argv(), (Words{"sh", "--tcp-echo", "1"}));
}

TEST(Container, FieldsOfThePod) {
  auto self = pod("shop", "front", "10.244.0.2");
  self.addresses.push_back(*Address::parse("fd00::2"));
  self.node = "n1";
  const auto host = *Address::parse("172.30.0.11");
  const std::pair<const char*, const char*> kCases[] = {{"metadata.name", "front"},
                                                        {"metadata.namespace", "shop"},
                                                        {"spec.nodeName", "n1"},
                                                        {"status.podIP", "10.244.0.2"},
                                                        {"status.hostIP", "172.30.0.11"},
                                                        {"status.podIPs", "10.244.0.2,fd00::2"},
                                                        {"metadata.labels['app']", "cart"},
                                                        {"metadata.annotations['a']", "b"},
                                                        {"metadata.labels['x']", ""},
                                                        {"nonsense", ""}};
  for (const auto& [path, expected] : kCases) {
    EXPECT_EQ(field_value(self, {{"a", "b"}}, host, path), expected) << path;
  }
}

}  // namespace
}  // namespace weir::local
