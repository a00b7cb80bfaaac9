// Counts of local endpoints and the state of this node -> answers for load balancers.

#include "agent/health.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

namespace weir {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

constexpr unsigned kOk = 200;
constexpr unsigned kNotFound = 404;
constexpr unsigned kUnavailable = 503;

// As Go writes times in JSON: "2026-11-24T02:30:00.123Z", zeros at the end left out.
std::string time_text(TimePoint time) {
  if (time == TimePoint{}) return "0001-01-01T00:00:00Z";
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - second).count();
  std::string text =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}", fmt::gmtime(second.time_since_epoch().count()));
  if (rest != 0) {
    text += fmt::format(".{:09}", rest);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

HttpAnswer json_answer(bool good, std::string body) {
  return {.status = good ? kOk : kUnavailable,
          .headers = {{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}},
          .body = std::move(body)};
}

HttpAnswer not_found() {
  return {.status = kNotFound,
          .headers = {{"Content-Type", "text/plain; charset=utf-8"},
                      {"X-Content-Type-Options", "nosniff"}},
          .body = "404 page not found\n"};
}

std::string clash_text(const ObjectKey& holder) {
  return fmt::format("the port is that of Service {}", holder.to_string());
}

}  // namespace

class HealthServers::Retry {
 public:
  explicit Retry(boost::asio::io_context& loop) : timer_(loop) {}

  // One at a time.
  void start(std::function<void()> action) {
    if (std::exchange(running_, true)) return;
    timer_.expires_after(kRetry);
    timer_.async_wait([this, alive = alive_, action = std::move(action)](const auto& error) {
      if (!*alive || error) return;
      running_ = false;
      action();
    });
  }
  ~Retry() { *alive_ = false; }

 private:
  boost::asio::steady_timer timer_;
  bool running_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

HealthServers::HealthServers(boost::asio::io_context& loop, std::uint16_t proxy_port, Clock clock)
    : loop_(loop),
      wanted_proxy_port_(proxy_port),
      clock_(std::move(clock)),
      retry_(std::make_unique<Retry>(loop)) {
  open_missing();
}

HealthServers::HealthServers(boost::asio::io_context& loop, std::uint16_t proxy_port)
    : HealthServers(loop, proxy_port, Clock()) {}

HealthServers::~HealthServers() = default;

void HealthServers::update(const std::vector<ServiceTracker::Health>& services, bool node_leaving) {
  node_leaving_ = node_leaving;
  clashes_.clear();
  std::map<std::uint16_t, ServiceTracker::Health> wanted;
  auto sorted = services;
  std::ranges::sort(sorted, {}, &ServiceTracker::Health::service);
  for (const auto& one : sorted) {
    const auto [it, is_first] = wanted.try_emplace(one.port, one);
    if (!is_first) {
      clashes_[one.service] = {one, it->second.service};
    }
  }
  std::erase_if(ports_, [&](const auto& kept) { return !wanted.contains(kept.first); });
  for (const auto& [number, told] : wanted) ports_[number].told = told;
  open_missing();
}

void HealthServers::queued() {
  if (!queued_since_) queued_since_ = clock_.steady();
}

void HealthServers::written() {
  queued_since_.reset();
  last_written_ = clock_.wall();
}

void HealthServers::open_missing() {
  if (!proxy_) open_proxy();
  for (auto& [number, port] : ports_) {
    if (!port.server) open(port);
  }
  if (!all_open()) retry_->start([this] { open_missing(); });
}

bool HealthServers::all_open() const {
  return proxy_ &&
         std::ranges::all_of(ports_, [](const auto& one) { return one.second.server != nullptr; });
}

void HealthServers::open(Port& port) {
  auto server = HttpPort::listen(loop_, port.told.port, [this, number = port.told.port](auto) {
    return answer_service(number);
  });
  port.trouble = server ? "" : server.error().text();
  if (server) port.server = std::move(*server);
}

void HealthServers::open_proxy() {
  auto server = HttpPort::listen(loop_, wanted_proxy_port_,
                                 [this](std::string_view path) { return answer_proxy(path); });
  proxy_trouble_ = server ? "" : server.error().text();
  if (server) proxy_ = std::move(*server);
}

std::optional<HealthServers::Told> HealthServers::told(const ObjectKey& service) const {
  if (const auto clash = clashes_.find(service); clash != clashes_.end()) {
    return Told{clash->second.told, clash_text(clash->second.holder)};
  }
  for (const auto& [number, port] : ports_) {
    if (port.told.service == service) return Told{port.told, port.trouble};
  }
  return std::nullopt;
}

std::vector<std::string> HealthServers::warnings() const {
  std::vector<std::string> all;
  const auto tell = [&](const ObjectKey& service, std::uint16_t port, std::string_view why) {
    all.push_back(fmt::format("Service {}: health check port {} is not served: {}",
                              service.to_string(), port, why));
  };
  for (const auto& [number, port] : ports_) {
    if (!port.server) tell(port.told.service, number, port.trouble);
  }
  for (const auto& [service, clash] : clashes_)
    tell(service, clash.told.port, clash_text(clash.holder));
  if (!proxy_) {
    all.push_back(fmt::format("port {} (/healthz, /livez) is not served: {}", wanted_proxy_port_,
                              proxy_trouble_));
  }
  std::ranges::sort(all);
  return all;
}

std::uint16_t HealthServers::proxy_port() const { return proxy_ ? proxy_->port() : 0; }

bool HealthServers::healthy() const {
  return !queued_since_ || clock_.steady() - *queued_since_ < kLate;
}

HttpAnswer HealthServers::answer_service(std::uint16_t port) const {
  const auto& told = ports_.at(port).told;
  const bool good = healthy();
  HttpAnswer answer = json_answer(
      told.local_endpoints != 0 && good,
      fmt::format("{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n"
                  "\t\"localEndpoints\": {},\n\t\"serviceProxyHealthy\": {}\n}}",
                  told.service.namespace_, told.service.name, told.local_endpoints, good));
  answer.headers.emplace_back("X-Load-Balancing-Endpoint-Weight",
                              fmt::to_string(told.local_endpoints));
  return answer;
}

// /livez: this agent keeps the tables; /healthz: and new connections may be sent to this node.
HttpAnswer HealthServers::answer_proxy(std::string_view path) {
  const bool healthz = path == "/healthz";
  if (!healthz && path != "/livez") return not_found();
  const bool alive = healthy();
  const bool good = alive && !(healthz && node_leaving_);
  std::uint64_t& count = healthz ? (good ? answers_.healthz_200 : answers_.healthz_503)
                                 : (good ? answers_.livez_200 : answers_.livez_503);
  ++count;
  const auto now = clock_.wall();
  const std::string written = time_text(last_written_);
  std::string body = fmt::format(R"({{"lastUpdated":"{}","currentTime":"{}")",
                                 good ? time_text(now) : written, time_text(now));
  if (healthz) body += fmt::format(R"(,"nodeEligible":{})", !node_leaving_);
  body += fmt::format(R"(,"healthy":{})", alive);
  if (last_written_ != TimePoint{}) {
    const auto family = fmt::format(R"({{"lastUpdated":"{}","healthy":{}}})", written, alive);
    body += fmt::format(R"(,"status":{{"IPv4":{},"IPv6":{}}})", family, family);
  }
  return json_answer(good, body + "}");
}

}  // namespace weir
