#include "agent/node_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStrategicMerge = "application/strategic-merge-patch+json";

std::string now_text() {
  return fmt::format(
      "{:%Y-%m-%dT%H:%M:%SZ}",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

}  // namespace

NodeWriter::~NodeWriter() {
  client_.cancel(exchange_);
  poller_.cancel(timer_);
}

void NodeWriter::write_condition() {
  const std::string now = now_text();
  patch(fmt::format("/api/v1/nodes/{}/status", node_),
        fmt::format(R"({{"status":{{"conditions":[{{"type":"NetworkUnavailable","status":"False",)"
                    R"("reason":"WeirIsReady","message":"weir-agent serves pods on this node",)"
                    R"("lastHeartbeatTime":"{0}","lastTransitionTime":"{0}"}}]}}}})",
                    now),
        &NodeWriter::remove_taint);
}

// Absent is success: the list is merged by key.
void NodeWriter::remove_taint() {
  patch(fmt::format("/api/v1/nodes/{}", node_),
        fmt::format(
            R"({{"spec":{{"taints":[{{"$patch":"delete","key":"{}","effect":"NoSchedule"}}]}}}})",
            kNotReadyTaint),
        nullptr);
}

void NodeWriter::patch(const std::string& path, std::string body, void (NodeWriter::*next)()) {
  HttpClient::Request request;
  request.method = "PATCH";
  request.path = path;
  request.body = std::move(body);
  request.content_type = kStrategicMerge;
  const auto again = next != nullptr ? &NodeWriter::write_condition : &NodeWriter::remove_taint;
  exchange_ = client_.start(std::move(request), {}, [this, path, next, again](const auto& end) {
    exchange_ = 0;
    if (!end.good()) return failed(path, end, again);
    failures_ = 0;
    if (next != nullptr) (this->*next)();
  });
}

void NodeWriter::failed(const std::string& path, const HttpClient::End& end,
                        void (NodeWriter::*again)()) {
  const std::string why =
      end.status == 403
          ? "missing permission to patch nodes and nodes/status: grant it by the ClusterRole of "
            "deploy/cni/weir-cni.yaml"
          : (end.status == 0 ? end.error : fmt::format("the API server answers {}", end.status));
  if (failures_ == 0) complain_(fmt::format("{}: {}", path, why));
  const auto delay =
      std::min<std::chrono::milliseconds>(500ms * (1L << std::min(failures_, 8)), 30s);
  ++failures_;
  timer_ = poller_.after(delay, [this, again] {
    timer_ = 0;
    (this->*again)();
  });
}

}  // namespace weir
