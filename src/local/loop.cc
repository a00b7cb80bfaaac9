#include "local/loop.h"

#include <poll.h>

#include <algorithm>
#include <vector>

namespace weir::local {

Loop::Id Loop::watch(int fd, short events, std::function<void()> callback) {
  watches_[next_] = {fd, events, std::make_shared<std::function<void()>>(std::move(callback))};
  return next_++;
}

Loop::Id Loop::after(Clock::duration delay, std::function<void()> callback) {
  const auto at = Clock::now() + delay;
  timers_[next_] = {at, std::move(callback)};
  order_.emplace(at, next_);
  return next_++;
}

void Loop::remove(Id id) {
  watches_.erase(id);
  if (const auto timer = timers_.find(id); timer != timers_.end()) {
    order_.erase({timer->second.at, id});
    timers_.erase(timer);
  }
}

int Loop::timeout_ms() const {
  if (order_.empty()) return -1;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(order_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

void Loop::run_timers() {
  const auto now = Clock::now();
  while (running_ && !order_.empty() && order_.begin()->first <= now) {
    const auto timer = timers_.find(order_.begin()->second);
    order_.erase(order_.begin());
    const auto callback = std::move(timer->second.callback);
    timers_.erase(timer);
    callback();
  }
}

void Loop::run_watches() {
  std::vector<pollfd> fds;
  std::vector<Id> ids;
  for (const auto& [id, watch] : watches_) {
    fds.push_back({watch.fd, watch.events, 0});
    ids.push_back(id);
  }
  if (poll(fds.data(), fds.size(), timeout_ms()) <= 0) return;
  for (std::size_t i = 0; i < fds.size() && running_; ++i) {
    if (fds[i].revents == 0) continue;
    const auto found = watches_.find(ids[i]);  // an earlier callback may have removed it
    if (found == watches_.end()) continue;
    const auto callback = found->second.callback;
    (*callback)();
  }
}

void Loop::run() {
  while (running_) {
    run_watches();
    run_timers();
  }
}

}  // namespace weir::local
