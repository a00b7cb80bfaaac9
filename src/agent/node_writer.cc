#include "agent/node_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "model/node.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStrategicMerge = "application/strategic-merge-patch+json";
constexpr const char* kJsonPatch = "application/json-patch+json";
constexpr auto kFirstRetry = 500ms;
constexpr auto kLongestRetry = 30s;

std::string now_text() {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace

NodeWriter::NodeWriter(const std::string& node, HttpClient& client, Poller& poller,
                       Complain complain)
    : path_("/api/v1/nodes/" + node),
      client_(client),
      poller_(poller),
      complain_(std::move(complain)) {}

NodeWriter::~NodeWriter() {
  client_.cancel(exchange_);
  poller_.cancel(timer_);
}

void NodeWriter::network_is_ready() {
  client_.cancel(exchange_);
  poller_.cancel(timer_);
  const std::string now = now_text();
  ask("PATCH", path_ + "/status",
      fmt::format(R"({{"status":{{"conditions":[{{"type":"NetworkUnavailable","status":"False",)"
                  R"("reason":"WeirIsReady","message":"weir-agent serves pods on this node",)"
                  R"("lastHeartbeatTime":"{0}","lastTransitionTime":"{0}"}}]}}}})",
                  now),
      kStrategicMerge, [this](const std::string&) { read_taints(); });
}

// A list of objects is changed by position, on condition that what is there is what was read.
void NodeWriter::read_taints() {
  ask("GET", path_, "", "", [this](const std::string& body) {
    const auto node = nlohmann::json::parse(body, nullptr, false);
    if (!node.is_object()) return;
    const auto taints = node.value("/spec/taints"_json_pointer, nlohmann::json::array());
    for (std::size_t i = 0; i < taints.size(); ++i) {
      if (taints[i].value("key", "") == kNotReadyTaint) return remove_taint(i);
    }
  });
}

void NodeWriter::remove_taint(std::size_t index) {
  const std::string place = fmt::format("/spec/taints/{}", index);
  const nlohmann::json patch = {
      {{"op", "test"}, {"path", place + "/key"}, {"value", kNotReadyTaint}},
      {{"op", "remove"}, {"path", place}}};
  ask("PATCH", path_, patch.dump(), kJsonPatch, [this](const std::string&) { read_taints(); });
}

// `next` takes the answer's body. What fails begins anew.
void NodeWriter::ask(const char* method, const std::string& where, std::string body,
                     const char* content_type, std::function<void(const std::string&)> next) {
  HttpClient::Request request;
  request.method = method;
  request.path = where;
  request.body = std::move(body);
  request.content_type = content_type;
  exchange_ = client_.start(std::move(request), {}, [this, where, next](const auto& end) {
    exchange_ = 0;
    if (!end.good()) return failed(where, end);
    failures_ = 0;
    next(end.body);
  });
}

void NodeWriter::failed(const std::string& where, const HttpClient::End& end) {
  const std::string why =
      end.status == 403 ? "missing permission to get and patch nodes, and to patch nodes/status: "
                          "grant it by the ClusterRole of deploy/cni/weir-cni.yaml"
      : end.status == 0 ? end.error
                        : fmt::format("the API server answers {}", end.status);
  if (failures_ == 0) complain_(fmt::format("{}: {}", where, why));
  const auto delay = std::min<std::chrono::milliseconds>(
      kFirstRetry * (1L << std::min(failures_, 8)), kLongestRetry);
  ++failures_;
  timer_ = poller_.after(delay, [this] {
    timer_ = 0;
    network_is_ready();
  });
}

}  // namespace weir
