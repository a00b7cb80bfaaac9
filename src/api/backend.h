#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "abi/capture.h"
#include "api/status.h"
#include "base/result.h"
#include "observe/flow_recorder.h"

namespace weir::api {

// A running capture; ends when destroyed. May be destroyed from within its packet callback.
class Capture {
 public:
  virtual ~Capture() = default;
};

// Where the server gets its data: the agent. Called on the loop's thread; nothing may block.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual Version version() = 0;
  virtual Status status() = 0;
  virtual std::vector<EndpointInfo> endpoints() = 0;
  virtual FlowRecorder& flows() = 0;
  virtual std::string metrics() = 0;  // observe/metrics.h makes the text

  // An element of the ring buffer weir_capture: struct weir_captured and its bytes.
  using OnPacket = std::function<void(std::span<const std::byte> record)>;
  // kExists: another capture is running. on_packet is not called before this returns.
  virtual Result<std::unique_ptr<Capture>> start_capture(const weir_capture_filter& filter,
                                                         OnPacket on_packet) = 0;
};

}  // namespace weir::api
