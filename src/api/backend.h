#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "abi/capture.h"
#include "api/services.h"
#include "api/status.h"
#include "base/result.h"
#include "model/key.h"
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
  // Counts the connections that go through Services now. `done` is called later, on the loop's
  // thread: the count is made elsewhere.
  using OnServiceUse = std::function<void(ServiceUse)>;
  virtual void count_service_use(OnServiceUse done) = 0;
  // At most `most` Services that come after `after` in key order, with their part of `use`.
  virtual std::vector<ServiceInfo> services(const ObjectKey& after, std::size_t most,
                                            const ServiceUse& use) = 0;
  // kNotFound: there is no such Service.
  virtual Result<ServiceInfo> service(const ObjectKey& key, const ServiceUse& use) = 0;
  virtual std::string metrics() = 0;  // observe/metrics.h makes the text

  // An element of the ring buffer weir_capture: struct weir_captured and its bytes.
  using OnPacket = std::function<void(std::span<const std::byte> record)>;
  // kExists: another capture is running. on_packet is not called before this returns.
  virtual Result<std::unique_ptr<Capture>> start_capture(const weir_capture_filter& filter,
                                                         OnPacket on_packet) = 0;
};

}  // namespace weir::api
