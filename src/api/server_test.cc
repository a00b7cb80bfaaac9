// Server and client over a real unix socket; the agent is a fake.

#include "api/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <future>
#include <set>
#include <sstream>
#include <thread>

#include "api/client.h"
#include "base/fd.h"
#include "observe/flow_fixture.h"

namespace weir::api {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class FakeBackend : public Backend {
 public:
  Version version() override { return {"0.1.0", "b1", "n0"}; }
  Status status() override {
    Status made;
    made.node = "n0";
    return made;
  }
  std::vector<EndpointInfo> endpoints() override {
    EndpointInfo cart;
    cart.namespace_ = "shop";
    cart.pod = "cart-0";
    cart.addresses = {"10.244.0.5", "fd00::5"};
    cart.ifindex = 7;
    return {cart};
  }
  FlowRecorder& flows() override { return recorder; }
  void count_service_use(OnServiceUse done) override { on_use = std::move(done); }
  std::vector<ServiceInfo> services(const ObjectKey& after, std::size_t most,
                                    const ServiceUse& use) override {
    std::vector<ServiceInfo> made;
    for (auto at = known.upper_bound(after); at != known.end() && made.size() < most; ++at) {
      made.push_back(describe(*at, use));
    }
    most_at_once = std::max(most_at_once, made.size());
    return made;
  }
  Result<ServiceInfo> service(const ObjectKey& key, const ServiceUse& use) override {
    if (!known.contains(key)) return Error(Code::kNotFound, "no Service " + key.to_string());
    return describe(key, use);
  }
  static ServiceInfo describe(const ObjectKey& key, const ServiceUse& use) {
    ServiceInfo made;
    made.namespace_ = key.namespace_;
    made.name = key.name;
    made.traffic.connections = use.of(1, *Address::parse("10.244.0.5"), 80);
    return made;
  }
  std::string metrics() override { return "weir_up 1\n"; }

  Result<std::unique_ptr<Capture>> start_capture(const weir_capture_filter& wanted,
                                                 OnPacket callback) override {
    if (capturing) return Error(Code::kExists, "another capture is running");
    capturing = true;
    filter = wanted;
    on_packet = std::move(callback);
    struct Running : Capture {
      explicit Running(FakeBackend& fake) : backend(fake) {}
      ~Running() override { backend.capturing = false; }
      FakeBackend& backend;
    };
    return std::make_unique<Running>(*this);
  }

  FlowRecorder recorder{fixture::name_of, 100, fixture::clock()};
  weir_capture_filter filter{};
  OnPacket on_packet;
  std::atomic<bool> capturing = false;
  std::set<ObjectKey> known;
  OnServiceUse on_use;
  std::size_t most_at_once = 0;
};

// The agent's loop on a thread of its own.
class ServerTest : public testing::Test {
 protected:
  void start(Server::Limits limits = {}) {
    folder_ = mkdtemp(template_);
    path_ = folder_ + "/agent.sock";
    auto server = Server::listen(loop_, path_, backend_, limits);
    ASSERT_TRUE(server) << server.error().text();
    server_ = std::move(*server);
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(loop_);
      loop_.run();
    });
  }

  void TearDown() override {
    if (thread_.joinable()) {
      on_loop([this] { server_.reset(); });
      loop_.stop();
      thread_.join();
    }
    EXPECT_NE(access(path_.c_str(), F_OK), 0) << "the socket file stayed";
    rmdir(folder_.c_str());
  }

  void on_loop(const std::function<void()>& action) {
    std::promise<void> done;
    boost::asio::post(loop_, [&] {
      action();
      done.set_value();
    });
    done.get_future().wait();
  }

  void feed(int count, std::uint8_t type = WEIR_EVENT_NEW) {
    on_loop([&] {
      const weir_event raw = fixture::event({.type = type});
      for (int i = 0; i < count; ++i) backend_.recorder.on_event(fixture::bytes(raw));
    });
  }

  bool eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  Fd connect_raw() {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }

  std::string exchange(const std::string& bytes) {
    const Fd fd = connect_raw();
    EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    std::string answer;
    char piece[4096];
    for (ssize_t n = 0; (n = read(fd.get(), piece, sizeof piece)) > 0;) {
      answer.append(piece, static_cast<std::size_t>(n));
    }
    return answer;
  }

  char template_[32] = "/tmp/weir-api-XXXXXX";
  std::string folder_;
  std::string path_;
  boost::asio::io_context loop_{1};
  FakeBackend backend_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(ServerTest, DocumentsAndTheSocketsMode) {
  start();
  EXPECT_EQ(get(path_, "/v1/version").value_or(""),
            "{\"version\":\"0.1.0\",\"build_id\":\"b1\",\"node\":\"n0\"}\n");
  EXPECT_TRUE(parse_status(*get(path_, "/v1/status")));
  EXPECT_EQ(parse_endpoints(*get(path_, "/v1/endpoints"))->at(0).pod, "cart-0");
  EXPECT_EQ(get(path_, "/metrics").value_or(""), "weir_up 1\n");
  struct stat seen{};
  ASSERT_EQ(stat(path_.c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 0777, 0600U);
}

TEST_F(ServerTest, BadRequestsGetOneClearError) {
  start();
  EXPECT_EQ(get(path_, "/v1/flows?port=http").error(),
            Error(Code::kInvalid, "port: 'http' is not a port from 1 to 65535"));
  EXPECT_EQ(get(path_, "/v1/pods").error().code(), Code::kNotFound);
  EXPECT_THAT(exchange("POST /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(exchange("nonsense\r\n\r\n"), HasSubstr("{\"error\":\"not a request: "));
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nx: " + std::string(20000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(get(path_, "/v1/version")) << "still serves";
}

TEST_F(ServerTest, HistoryEndsAndFollowingGoesOn) {
  start();
  feed(3);
  const auto history = get(path_, "/v1/flows?last=2");
  ASSERT_TRUE(history);
  EXPECT_EQ(std::ranges::count(*history, '\n'), 2);

  int lines = 0;
  const auto read = read_streams({{path_, "/v1/flows?follow=1&last=1&type=closed&type=new"}}, true,
                                 -1, [&](std::size_t, std::string_view bytes) {
                                   EXPECT_TRUE(bytes.ends_with("}\n"));
                                   lines += static_cast<int>(std::ranges::count(bytes, '\n'));
                                   if (lines == 1) feed(5, WEIR_EVENT_CLOSED);
                                   return lines < 6 ? Next::kGoOn : Next::kStop;
                                 });
  EXPECT_TRUE(read) << read.error().text();
  EXPECT_EQ(lines, 6);
}

TEST_F(ServerTest, ASlowReaderLosesFlowsAndIsToldHowMany) {
  start({.outbox_bytes = 20'000, .sessions = 8});
  feed(1);
  constexpr int kFlows = 20'000;
  int flows = 0;
  int lost = 0;
  bool flooded = false;
  const auto read = read_streams({{path_, "/v1/flows?follow=1&last=1"}}, true, -1,
                                 [&](std::size_t, std::string_view bytes) {
                                   if (!std::exchange(flooded, true)) {
                                     feed(kFlows);  // while nobody reads
                                     feed(1);
                                   }
                                   while (!bytes.empty()) {
                                     const auto line = bytes.substr(0, bytes.find('\n') + 1);
                                     bytes.remove_prefix(line.size());
                                     if (line.starts_with("{\"type\":\"lost\"")) {
                                       lost += std::atoi(line.data() + line.find("count\":") + 7);
                                     } else {
                                       ++flows;
                                     }
                                   }
                                   return flows + lost < kFlows + 2 ? Next::kGoOn : Next::kStop;
                                 });
  EXPECT_TRUE(read);
  EXPECT_EQ(flows + lost, kFlows + 2);
  EXPECT_GT(lost, kFlows / 2);
  EXPECT_TRUE(get(path_, "/v1/version")) << "others are served meanwhile";
}

TEST_F(ServerTest, AReaderThatNeverReadsHoldsUpNobody) {
  start({.outbox_bytes = 20'000, .sessions = 8});
  const Fd sleeper = connect_raw();
  const std::string request = "GET /v1/flows?follow=1 HTTP/1.1\r\n\r\n";
  ASSERT_GT(write(sleeper.get(), request.data(), request.size()), 0);
  feed(10'000);
  feed(10'000);
  EXPECT_TRUE(get(path_, "/v1/version"));
}

// The answer waits for the count; a long list comes in pieces, whole and in order.
TEST_F(ServerTest, ServicesAreToldWithTheConnectionsThatWereCounted) {
  for (int i = 0; i < 1000; ++i) backend_.known.insert({i % 2 == 0 ? "a" : "b", std::to_string(i)});
  start();
  const auto ask = [&](const std::string& target) {
    auto answer = std::async(std::launch::async, [&, target] { return get(path_, target); });
    EXPECT_TRUE(eventually([&] {
      bool asked = false;
      on_loop([&] {
        if (!backend_.on_use) return;
        asked = true;
        std::exchange(backend_.on_use, {})({{{{1, *Address::parse("10.244.0.5"), 80}, 7}}});
      });
      return asked;
    }));
    std::vector<ServiceInfo> list;
    std::istringstream lines(answer.get().value_or(""));
    for (std::string line; std::getline(lines, line);) list.push_back(*parse_service(line));
    return list;
  };
  const auto all = ask("/v1/services");
  ASSERT_EQ(all.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(
      all, {}, [](const ServiceInfo& one) { return ObjectKey{one.namespace_, one.name}; }));
  EXPECT_EQ(all.front().traffic.connections, 7U);
  EXPECT_LE(backend_.most_at_once, 100U) << "the loop is not held up";
  EXPECT_EQ(ask("/v1/services?namespace=a").size(), 500U);
  EXPECT_EQ(ask("/v1/services?service=b/1").size(), 1U);
  EXPECT_EQ(get(path_, "/v1/services?service=b/0").error(),
            Error(Code::kNotFound, "no Service b/0"));
}

TEST_F(ServerTest, AReaderOfServicesMayLeaveBeforeTheCount) {
  start();
  {
    const Fd reader = connect_raw();
    const std::string request = "GET /v1/services HTTP/1.1\r\n\r\n";
    ASSERT_GT(write(reader.get(), request.data(), request.size()), 0);
    EXPECT_TRUE(eventually([&] {
      bool asked = false;
      on_loop([&] { asked = static_cast<bool>(backend_.on_use); });
      return asked;
    }));
  }
  EXPECT_TRUE(get(path_, "/v1/version"));
  on_loop([&] { backend_.on_use({}); });
  EXPECT_TRUE(get(path_, "/v1/version"));
}

TEST_F(ServerTest, CaptureIsBoundedFilteredAndOneAtATime) {
  start();
  std::string packet(sizeof(weir_captured) + 60, '\0');
  const weir_captured header{.time_ns = 1,
                             .length = 60,
                             .captured = 60,
                             .ifindex = 7,
                             .hook = 0,
                             .out = 1,
                             .reason = 0,
                             .capture = 0};
  std::memcpy(packet.data(), &header, sizeof header);
  std::string bytes;
  bool fed = false;
  const auto read =
      read_streams({{path_, "/v1/capture?pod=shop/cart-0&peer_port=80&packets=2"}}, false, -1,
                   [&](std::size_t, std::string_view piece) {
                     bytes += piece;
                     if (!std::exchange(fed, true)) {
                       EXPECT_EQ(get(path_, "/v1/capture").error().code(), Code::kExists);
                       on_loop([&] {
                         for (int i = 0; i < 5; ++i)
                           backend_.on_packet(std::as_bytes(std::span(packet)));
                       });
                     }
                     return Next::kGoOn;
                   });
  EXPECT_TRUE(read) << read.error().text();
  const weir_addr v4 = fixture::addr("10.244.0.5");
  const weir_addr v6 = fixture::addr("fd00::5");
  EXPECT_EQ(std::memcmp(&backend_.filter.addr, &v4, sizeof v4), 0);
  EXPECT_EQ(std::memcmp(&backend_.filter.addr_other, &v6, sizeof v6), 0);
  EXPECT_EQ(backend_.filter.peer_port, htons(80));
  EXPECT_THAT(bytes, HasSubstr("shop/cart-0 from_pod"));
  std::size_t packets = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint32_t block[2];
    std::memcpy(block, bytes.data() + at, sizeof block);
    packets += block[0] == 6 ? 1 : 0;
    at += block[1];
  }
  EXPECT_EQ(packets, 2U);
  EXPECT_TRUE(eventually([&] { return !backend_.capturing; }));
}

TEST_F(ServerTest, CaptureEndsWithItsReaderAndWithItsTime) {
  start();
  EXPECT_EQ(get(path_, "/v1/capture?pod=shop/none").error(),
            Error(Code::kNotFound, "pod: no pod shop/none on this node"));
  {
    const Fd reader = connect_raw();
    const std::string request = "GET /v1/capture HTTP/1.1\r\n\r\n";
    ASSERT_GT(write(reader.get(), request.data(), request.size()), 0);
    EXPECT_TRUE(eventually([&] { return backend_.capturing.load(); }));
  }
  EXPECT_TRUE(eventually([&] { return !backend_.capturing; }));
  EXPECT_TRUE(get(path_, "/v1/capture?seconds=1"));
  EXPECT_TRUE(eventually([&] { return !backend_.capturing; }));
}

TEST_F(ServerTest, TheServerGoesWhileReadersStay) {
  start();
  feed(1);
  const auto read = read_streams({{path_, "/v1/flows?follow=1&last=1"}}, true, -1,
                                 [&](std::size_t, std::string_view) {
                                   on_loop([&] { server_.reset(); });
                                   return Next::kGoOn;
                                 });
  EXPECT_EQ(read.error().code(), Code::kUnavailable);
  feed(1);
}

TEST_F(ServerTest, TooManySessionsAreTurnedAway) {
  start({.outbox_bytes = 1000, .sessions = 2});
  const Fd one = connect_raw();
  const Fd two = connect_raw();
  // Often enough that the server also closes before the request is written.
  for (int i = 0; i < 200; ++i) {
    const auto answer = get(path_, "/v1/version");
    ASSERT_FALSE(answer);
    ASSERT_EQ(answer.error().text(), "too many sessions") << "in round " << i;
  }
}

TEST_F(ServerTest, AStopFdEndsReading) {
  start();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  ASSERT_EQ(write(writer.get(), "x", 1), 1);
  EXPECT_TRUE(read_streams({{path_, "/v1/flows?follow=1"}}, true, reader.get(),
                           [](std::size_t, std::string_view) { return Next::kGoOn; }));
}

TEST(Client, NobodyThere) {
  const auto answer = get("/tmp/weir-api-none.sock", "/v1/version");
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
  EXPECT_THAT(answer.error().text(), HasSubstr("/tmp/weir-api-none.sock: No such file"));
}

TEST(Client, PercentEncode) { EXPECT_EQ(percent_encode("shop/a b~1"), "shop%2Fa%20b~1"); }

}  // namespace
}  // namespace weir::api
