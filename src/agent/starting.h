#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "api/backend.h"

namespace weir {

// What an agent says of itself before it serves pods: that it waits, and for what.
class Starting final : public api::Backend {
 public:
  // `waiting_for` gives the words, as of now. `flows` outlives this.
  Starting(std::string node, FlowRecorder& flows, std::function<std::string()> waiting_for)
      : node_(std::move(node)), flows_(flows), waiting_for_(std::move(waiting_for)) {}

  api::Version version() override;
  api::Status status() override;
  std::vector<api::EndpointInfo> endpoints() override { return {}; }
  FlowRecorder& flows() override { return flows_; }
  void count_service_use(OnServiceUse done) override { done({}); }
  std::vector<api::ServiceInfo> services(const ObjectKey&, std::size_t,
                                         const api::ServiceUse&) override {
    return {};
  }
  Result<api::ServiceInfo> service(const ObjectKey&, const api::ServiceUse&) override;
  std::string metrics() override { return ""; }
  Result<std::unique_ptr<api::Capture>> start_capture(const weir_capture_filter&,
                                                      OnPacket) override;

 private:
  Error too_early() const;

  std::string node_;
  FlowRecorder& flows_;
  std::function<std::string()> waiting_for_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace weir
