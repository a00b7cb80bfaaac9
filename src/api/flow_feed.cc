#include <fmt/format.h>

#include "api/feed.h"
#include "observe/flow_json.h"

namespace weir::api {
namespace {

class FlowFeed : public Feed {
 public:
  FlowFeed(Backend& backend, const FlowsRequest& request, std::size_t most_bytes,
           std::function<void()> wake)
      : node_(backend.version().node),
        most_bytes_(most_bytes),
        follow_(request.follow),
        wake_(std::move(wake)) {
    // The memory is bounded itself, so that all of it is given.
    backend.flows().last(request.last, request.filter,
                         [this](const Flow& flow) { append_flow_json(outbox_, flow, node_); });
    if (!follow_) return;
    subscription_ =
        backend.flows().subscribe(request.filter, [this](const Flow& flow) { put(flow); });
  }

  bool take(std::string& out) override {
    if (out.empty()) {
      out.swap(outbox_);
    } else {
      out += std::exchange(outbox_, {});
    }
    if (lost_ > 0) {
      out += R"({"type":"lost","node":)";
      append_json_string(out, node_);
      fmt::format_to(std::back_inserter(out), ",\"count\":{}}}\n", std::exchange(lost_, 0));
    }
    return follow_;
  }

  bool waiting() const override { return !follow_ || !outbox_.empty() || lost_ > 0; }
  std::chrono::milliseconds time_left() const override { return std::chrono::hours(1); }

 private:
  void put(const Flow& flow) {
    const bool was_waiting = waiting();
    if (lost_ > 0 || outbox_.size() >= most_bytes_) {
      ++lost_;
    } else {
      append_flow_json(outbox_, flow, node_);
    }
    if (!was_waiting) wake_();
  }

  std::string node_;
  std::size_t most_bytes_;
  bool follow_;
  std::function<void()> wake_;
  std::string outbox_;
  std::uint64_t lost_ = 0;  // since the end of what is in the outbox
  std::unique_ptr<FlowRecorder::Subscription> subscription_;
};

}  // namespace

Result<std::unique_ptr<Feed>> open_flow_feed(Backend& backend, const FlowsRequest& request,
                                             std::size_t most_bytes, std::function<void()> wake) {
  return std::make_unique<FlowFeed>(backend, request, most_bytes, std::move(wake));
}

}  // namespace weir::api
