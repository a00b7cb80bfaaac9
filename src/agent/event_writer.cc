#include "agent/event_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/hash.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLongestNote = 1024;  // as the API server has it
constexpr std::size_t kMostTexts = 200;
constexpr auto kPatience = 3s;

std::string micro_time() {
  const auto now = std::chrono::system_clock::now();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()) % 1s;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros.count());
}

// Of a node, Events are in the namespace `default`, and its name stands for its uid: as the kubelet
// does it. An Event's name is of what it says: an agent that starts again and again says it once,
// until the API server forgets it, after an hour.
std::string event_of(const std::string& node, const std::string& reason, const std::string& text) {
  const std::string name =
      fmt::format("weir-agent.{:016x}", fnv1a(text, fnv1a(reason, fnv1a(node))));
  const nlohmann::ordered_json event = {
      {"apiVersion", "events.k8s.io/v1"},
      {"kind", "Event"},
      {"metadata", {{"name", name}, {"namespace", "default"}}},
      {"eventTime", micro_time()},
      {"reportingController", "weir.dev/agent"},
      {"reportingInstance", node},
      {"action", "ServeNode"},
      {"reason", reason},
      {"type", "Warning"},
      {"regarding", {{"apiVersion", "v1"}, {"kind", "Node"}, {"name", node}, {"uid", node}}},
      {"note", text.substr(0, kLongestNote)}};
  return event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

EventWriter::~EventWriter() {
  for (const HttpClient::Id id : exchanges_) client_.cancel(id);
}

void EventWriter::warn(const std::string& reason, const std::string& text) {
  if (said_.size() >= kMostTexts) said_.clear();
  if (!said_.insert(text).second) return;
  HttpClient::Request request;
  request.method = "POST";
  request.path = "/apis/events.k8s.io/v1/namespaces/default/events";
  request.body = event_of(node_, reason, text);
  request.content_type = "application/json";
  const auto id = std::make_shared<HttpClient::Id>(0);
  *id = client_.start(std::move(request), {},
                      [this, id](const HttpClient::End&) { exchanges_.erase(*id); });
  exchanges_.insert(*id);
}

void tell_why_not_started(ApiAccess access, const std::string& node, const std::string& text) {
  auto poller = Poller::open();
  if (!poller) return;
  auto client = HttpClient::open(std::move(access), **poller);
  if (!client) return;
  EventWriter events(node, **client);
  events.warn("AgentCannotStart", text);
  const auto until = Poller::Clock::now() + kPatience;
  while (!events.idle() && Poller::Clock::now() < until) {
    pollfd ready{(*poller)->fd(), POLLIN, 0};
    poll(&ready, 1, 100);
    (*poller)->dispatch();
  }
}

}  // namespace weir
