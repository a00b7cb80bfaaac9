#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "api/backend.h"
#include "api/query.h"
#include "base/result.h"

namespace weir::api {

// What one streaming reader has still to get: bounded, filled from the loop, never waits.
class Feed {
 public:
  virtual ~Feed() = default;
  // Appends all that waits; false: nothing more will come.
  virtual bool take(std::string& out) = 0;
  // Whether take has something to give, or to say that it is over.
  virtual bool waiting() const = 0;
  // When to look again even if nobody woke.
  virtual std::chrono::milliseconds time_left() const = 0;
};

// wake is called when something came that was waited for; it must not use the feed.
Result<std::unique_ptr<Feed>> open_flow_feed(Backend& backend, const FlowsRequest& request,
                                             std::size_t most_bytes, std::function<void()> wake);
// kNotFound: no such Service.
Result<std::unique_ptr<Feed>> open_service_feed(Backend& backend, const ServicesRequest& request,
                                                std::function<void()> wake);
// kNotFound: no such pod on this node.
Result<std::unique_ptr<Feed>> open_capture_feed(Backend& backend, const CaptureRequest& request,
                                                std::size_t most_bytes, std::function<void()> wake);

}  // namespace weir::api
