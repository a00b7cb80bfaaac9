// Real sockets on loopback.

#include "agent/health.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstring>
#include <thread>

#include "base/fd.h"

namespace weir {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kPatience = 5s;

sockaddr_in6 loopback(std::uint16_t port, bool v4) {
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  inet_pton(AF_INET6, v4 ? "::ffff:127.0.0.1" : "::1", &to.sin6_addr);
  return to;
}

Fd connect_to(std::uint16_t port, bool v4 = true) {
  Fd fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in6 to = loopback(port, v4);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return Fd();
  return fd;
}

// A port that nobody has, and a socket that holds one.
struct Held {
  Fd fd;
  std::uint16_t port = 0;
};

Held hold_port() {
  Held held{.fd = Fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  socklen_t size = sizeof any;
  EXPECT_EQ(bind(held.fd.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
  EXPECT_EQ(listen(held.fd.get(), 1), 0);
  getsockname(held.fd.get(), reinterpret_cast<sockaddr*>(&any), &size);
  held.port = ntohs(any.sin6_port);
  return held;
}

std::uint16_t free_port() { return hold_port().port; }

class HealthTest : public testing::Test {
 protected:
  // The whole answer of a server that closes after it; empty: nobody listens.
  std::string ask(std::uint16_t port, const std::string& path = "/", bool v4 = true) {
    const Fd fd = connect_to(port, v4);
    if (!fd) return "";
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n";
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), 0), ssize_t(request.size()));
    return read_all(fd);
  }

  // Runs the loop until the other side has closed.
  std::string read_all(const Fd& fd) {
    std::string answer;
    char buffer[4096];
    for (;;) {
      loop_.restart();
      loop_.poll();
      const ssize_t got = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) answer.append(buffer, static_cast<std::size_t>(got));
      if (got == 0 || (got < 0 && errno != EAGAIN)) return answer;
      if (std::chrono::steady_clock::now() > deadline_) return answer + "<no end>";
      std::this_thread::yield();
    }
  }

  boost::asio::io_context loop_;
  std::chrono::system_clock::time_point now_ =
      std::chrono::system_clock::from_time_t(1'763'951'400) + 120ms;
  std::chrono::steady_clock::time_point steady_{};
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + kPatience;
  HealthServers servers_{loop_, 0, {[this] { return now_; }, [this] { return steady_; }}};
};

// The bytes of kube-proxy 1.34.
TEST_F(HealthTest, AnswersLikeKubeProxy) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 2}}, false);
  const std::string answer = ask(port);
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Load-Balancing-Endpoint-Weight: 2\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n"
                                "{\n"
                                "\t\"service\": {\n"
                                "\t\t\"namespace\": \"shop\",\n"
                                "\t\t\"name\": \"cart\"\n"
                                "\t},\n"
                                "\t\"localEndpoints\": 2,\n"
                                "\t\"serviceProxyHealthy\": true\n"
                                "}"));
  EXPECT_EQ(servers_.told({"shop", "cart"})->trouble, "");
}

TEST_F(HealthTest, ServesBothFamiliesAndAnyPath) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 1}}, false);
  EXPECT_THAT(ask(port, "/healthz", true), HasSubstr("200 OK"));
  EXPECT_THAT(ask(port, "/any?x=1", false), HasSubstr("200 OK"));
}

TEST_F(HealthTest, WithoutLocalEndpointsIs503) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 1}}, false);
  servers_.update({{{"shop", "cart"}, port, 0}}, false);
  const std::string answer = ask(port);
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Load-Balancing-Endpoint-Weight: 0\r\n"));
  EXPECT_THAT(answer, HasSubstr("\"localEndpoints\": 0"));
}

TEST_F(HealthTest, AKeptConnectionSeesTheCountChange) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 1}}, false);
  const Fd fd = connect_to(port);
  const auto ask_again = [&] {
    const std::string request = "GET / HTTP/1.1\r\nHost: n\r\n\r\n";
    EXPECT_EQ(send(fd.get(), request.data(), request.size(), 0), ssize_t(request.size()));
    std::string answer;
    while (!answer.ends_with("}") && std::chrono::steady_clock::now() < deadline_) {
      loop_.restart();
      loop_.poll();
      char buffer[4096];
      const ssize_t got = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) answer.append(buffer, static_cast<std::size_t>(got));
    }
    return answer;
  };
  EXPECT_THAT(ask_again(), HasSubstr("200 OK"));
  servers_.update({{{"shop", "cart"}, port, 0}}, false);
  EXPECT_THAT(ask_again(), HasSubstr("503"));
  servers_.update({}, false);
  EXPECT_EQ(read_all(fd), "");
}

TEST_F(HealthTest, APortClosesWithItsServiceAndMovesToAnother) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 1}}, false);
  EXPECT_THAT(ask(port), HasSubstr("\"cart\""));
  servers_.update({{{"shop", "other"}, port, 1}}, false);
  EXPECT_THAT(ask(port), HasSubstr("\"other\""));
  servers_.update({}, false);
  EXPECT_EQ(ask(port), "");
  EXPECT_FALSE(servers_.told({"shop", "other"}));
}

TEST_F(HealthTest, ATakenPortIsToldOfAndTheRestServed) {
  const Held held = hold_port();
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, held.port, 1}, {{"shop", "web"}, port, 1}}, false);
  EXPECT_THAT(servers_.warnings(),
              ElementsAre("Service shop/cart: health check port " + std::to_string(held.port) +
                          " is not served: Address already in use"));
  EXPECT_EQ(servers_.told({"shop", "cart"})->trouble, "Address already in use");
  EXPECT_EQ(servers_.told({"shop", "web"})->health.local_endpoints, 1U);
  EXPECT_THAT(ask(port), HasSubstr("200 OK"));
}

TEST_F(HealthTest, APortThatBecomesFreeIsServed) {
  Held held = hold_port();
  servers_.update({{{"shop", "cart"}, held.port, 1}}, false);
  ASSERT_THAT(servers_.warnings(), testing::SizeIs(1));
  held.fd = Fd();
  deadline_ = std::chrono::steady_clock::now() + HealthServers::kRetry + kPatience;
  while (!servers_.warnings().empty() && std::chrono::steady_clock::now() < deadline_) {
    loop_.restart();
    loop_.run_one_for(100ms);
  }
  EXPECT_THAT(servers_.warnings(), IsEmpty());
  EXPECT_THAT(ask(held.port), HasSubstr("200 OK"));
}

// Whatever the order, the first by name has it.
TEST_F(HealthTest, TwoServicesWithOnePort) {
  const std::uint16_t port = free_port();
  const ServiceTracker::Health a{{"shop", "a"}, port, 1};
  const ServiceTracker::Health b{{"shop", "b"}, port, 1};
  for (const auto& order : {std::vector{a, b}, std::vector{b, a}}) {
    servers_.update(order, false);
    EXPECT_THAT(ask(port), HasSubstr("\"name\": \"a\""));
    EXPECT_THAT(servers_.warnings(),
                ElementsAre("Service shop/b: health check port " + std::to_string(port) +
                            " is not served: the port is that of Service shop/a"));
  }
}

TEST_F(HealthTest, HealthzAndLivezOfTheProxy) {
  servers_.written();
  const std::uint16_t port = servers_.proxy_port();
  const std::string healthz = ask(port, "/healthz");
  EXPECT_THAT(healthz, HasSubstr("HTTP/1.1 200 OK\r\n"));
  constexpr const char* kFamilies =
      R"("status":{"IPv4":{"lastUpdated":"2025-11-24T02:30:00.12Z","healthy":true},)"
      R"("IPv6":{"lastUpdated":"2025-11-24T02:30:00.12Z","healthy":true}}})";
  EXPECT_THAT(healthz, HasSubstr(std::string(R"({"lastUpdated":"2025-11-24T02:30:00.12Z",)"
                                             R"("currentTime":"2025-11-24T02:30:00.12Z",)"
                                             R"("nodeEligible":true,"healthy":true,)") +
                                 kFamilies));
  EXPECT_THAT(ask(port, "/livez"),
              HasSubstr(std::string(R"("currentTime":"2025-11-24T02:30:00.12Z","healthy":true,)") +
                        kFamilies));
  EXPECT_THAT(ask(port, "/"), HasSubstr("404 Not Found"));
}

TEST_F(HealthTest, ALeavingNodeIsNotEligibleButAlive) {
  const std::uint16_t service = free_port();
  servers_.update({{{"shop", "cart"}, service, 1}}, true);
  const std::string healthz = ask(servers_.proxy_port(), "/healthz");
  EXPECT_THAT(healthz, HasSubstr("503 Service Unavailable"));
  EXPECT_THAT(healthz, HasSubstr(R"("nodeEligible":false,"healthy":true)"));
  EXPECT_THAT(ask(servers_.proxy_port(), "/livez"), HasSubstr("200 OK"));
  EXPECT_THAT(ask(service), HasSubstr("200 OK"));
  EXPECT_EQ(servers_.answers().healthz_503, 1U);
  EXPECT_EQ(servers_.answers().livez_200, 1U);
  servers_.update({{{"shop", "cart"}, service, 1}}, false);
  EXPECT_THAT(ask(servers_.proxy_port(), "/healthz"), HasSubstr("200 OK"));
}

TEST_F(HealthTest, AnUpdateThatIsLateIsNoHealth) {
  const std::uint16_t service = free_port();
  servers_.update({{{"shop", "cart"}, service, 1}}, false);
  servers_.written();
  servers_.queued();
  steady_ += HealthServers::kLate - 1s;
  now_ += 24h;  // somebody sets the clock
  EXPECT_THAT(ask(servers_.proxy_port(), "/livez"), HasSubstr("200 OK"));
  servers_.queued();  // does not start the time again
  steady_ += 1s;
  now_ -= 48h;
  const std::string livez = ask(servers_.proxy_port(), "/livez");
  EXPECT_THAT(livez, HasSubstr("503"));
  EXPECT_THAT(livez, HasSubstr(R"({"lastUpdated":"2025-11-24T02:30:00.12Z",)"));
  EXPECT_THAT(ask(service), HasSubstr("\"serviceProxyHealthy\": false"));
  EXPECT_THAT(ask(service), HasSubstr("503"));
  servers_.written();
  EXPECT_THAT(ask(service), HasSubstr("200 OK"));
}

TEST_F(HealthTest, ATakenProxyPortIsToldOf) {
  const Held held = hold_port();
  const HealthServers other(loop_, held.port);
  EXPECT_THAT(other.warnings(),
              ElementsAre("port " + std::to_string(held.port) +
                          " (/healthz, /livez) is not served: Address already in use"));
}

// Strangers reach these ports.
TEST_F(HealthTest, NonsenseAndManySilentConnectionsDisturbNobody) {
  const std::uint16_t port = free_port();
  servers_.update({{{"shop", "cart"}, port, 1}}, false);
  std::vector<Fd> silent;
  for (std::size_t i = 0; i < 2 * HttpPort::kMostSessions; ++i) {
    silent.push_back(connect_to(port));
    ASSERT_TRUE(silent.back());
    loop_.restart();
    loop_.poll();
  }
  for (const std::string& nonsense :
       {std::string("\x16\x03\x01\n\n\r\n\r\n"), std::string(100'000, 'x'),
        "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'y') + "\r\n\r\n"}) {
    const Fd fd = connect_to(port);
    loop_.restart();
    loop_.poll();
    send(fd.get(), nonsense.data(), nonsense.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    EXPECT_EQ(read_all(fd), "");
  }
  EXPECT_THAT(ask(port), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace weir
