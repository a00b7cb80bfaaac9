#include "local/pre_stop.h"

#include <utility>

namespace weir::local {

bool has_pre_stop(const Container& container) {
  return !container.pre_stop.empty() || container.pre_stop_sleep_seconds > 0;
}

PreStop::PreStop(Loop& loop, const Container& container, const ExecInPod& exec,
                 Clock::duration limit, std::function<void()> done)
    : loop_(loop), done_(std::move(done)) {
  Clock::duration delay = std::chrono::seconds(container.pre_stop_sleep_seconds);
  if (!container.pre_stop.empty()) {
    auto job = exec(container.pre_stop, limit, [this](const JobResult&) { finish(); });
    if (job) {
      job_ = std::move(*job);
      return;
    }
    delay = {};
  }
  timer_ = loop_.after(delay, [this] { finish(); });
}

PreStop::~PreStop() { loop_.remove(timer_); }

void PreStop::finish() {
  const auto done = std::exchange(done_, nullptr);
  done();
}

}  // namespace weir::local
