#include "agent/starting.h"

#include <sys/utsname.h>

#include "base/version.h"

namespace weir {

api::Version Starting::version() {
  api::Version out;
  out.version = kVersion;
  out.node = node_;
  return out;
}

api::Status Starting::status() {
  api::Status out;
  utsname kernel{};
  uname(&kernel);
  out.node = node_;
  out.version = kVersion;
  out.kernel = kernel.release;
  out.uptime_seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_)
          .count());
  out.waiting_for = waiting_for_();
  return out;
}

Error Starting::too_early() const {
  return Error(Code::kUnavailable, "the agent does not serve pods yet: " + waiting_for_());
}

Result<api::ServiceInfo> Starting::service(const ObjectKey&, const api::ServiceUse&) {
  return too_early();
}

Result<std::unique_ptr<api::Capture>> Starting::start_capture(const weir_capture_filter&,
                                                              OnPacket) {
  return too_early();
}

}  // namespace weir
