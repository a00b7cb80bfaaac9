#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/http_port.h"
#include "compile/service_tracker.h"
#include "observe/totals.h"

namespace boost::asio {
class io_context;
}

namespace weir {

// What balancers outside ask this node, answered as kube-proxy 1.34 does (pkg/proxy/healthcheck):
// the health check port of each Service with external traffic policy Local, and /healthz and /livez
// of the proxy itself. Ports that cannot be opened are tried again every kRetry.
// Used from the thread of the io_context.
class HealthServers {
 public:
  static constexpr std::uint16_t kProxyPort = 10256;
  static constexpr std::chrono::seconds kLate{60};  // an update that waits longer is no health
  static constexpr std::chrono::seconds kRetry{1};
  // What is told is the wall clock's; how long something waits is not: that clock is set.
  struct Clock {
    std::function<std::chrono::system_clock::time_point()> wall = std::chrono::system_clock::now;
    std::function<std::chrono::steady_clock::time_point()> steady = std::chrono::steady_clock::now;
  };

  // proxy_port 0: any free one (tests), see proxy_port().
  explicit HealthServers(boost::asio::io_context& loop, std::uint16_t proxy_port = kProxyPort);
  HealthServers(boost::asio::io_context& loop, std::uint16_t proxy_port, Clock clock);
  ~HealthServers();
  HealthServers(const HealthServers&) = delete;
  HealthServers& operator=(const HealthServers&) = delete;

  // The whole of what is to be told from now on. node_leaving: Node.leaving of this node.
  void update(const std::vector<ServiceTracker::Health>& services, bool node_leaving);

  // Services changed, but are not in the kernel yet; what was queued is there.
  void queued();
  void written();

  // Ports that are not served, one sentence each, sorted.
  std::vector<std::string> warnings() const;
  // What a Service's port tells. trouble: why it is not served; "": it is.
  struct Told {
    ServiceTracker::Health health;
    std::string trouble;
  };
  // Nothing: the Service has no such port.
  std::optional<Told> told(const ObjectKey& service) const;
  std::uint16_t proxy_port() const;

  const HealthAnswers& answers() const { return answers_; }

 private:
  struct Port {
    ServiceTracker::Health told;
    std::unique_ptr<HttpPort> server;  // null: `trouble` says why
    std::string trouble;
  };
  // The port is another Service's.
  struct Clash {
    ServiceTracker::Health told;
    ObjectKey holder;
  };
  class Retry;

  void open_missing();
  void open(Port& port);
  void open_proxy();
  bool all_open() const;
  bool healthy() const;
  HttpAnswer answer_service(std::uint16_t port) const;
  HttpAnswer answer_proxy(std::string_view path);

  boost::asio::io_context& loop_;
  std::uint16_t wanted_proxy_port_;
  Clock clock_;
  std::map<std::uint16_t, Port> ports_;
  std::map<ObjectKey, Clash> clashes_;
  std::unique_ptr<HttpPort> proxy_;
  std::string proxy_trouble_;
  bool node_leaving_ = false;
  std::chrono::system_clock::time_point last_written_{};
  std::optional<std::chrono::steady_clock::time_point> queued_since_;
  HealthAnswers answers_;
  std::unique_ptr<Retry> retry_;
};

}  // namespace weir
