#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// Descriptors and timers behind one descriptor: its owner waits until fd() is readable, then calls
// dispatch(). Callbacks may add and remove any, and must not destroy the Poller.
class Poller {
 public:
  using Clock = std::chrono::steady_clock;
  using Id = std::uint64_t;  // never used again; 0 is none

  static Result<std::unique_ptr<Poller>> open();

  // Readable while there is something to dispatch.
  int fd() const { return epoll_.get(); }
  // Calls back for all that is ready; never blocks.
  void dispatch();

  // `events` as epoll has them; a second call for a descriptor replaces the first.
  Result<void> watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> callback);
  // Before the descriptor is closed. Unknown is success.
  void forget(int fd);

  // Once.
  Id after(Clock::duration delay, std::function<void()> callback);
  void cancel(Id id);

 private:
  struct Timer {
    Clock::time_point at;
    std::function<void()> callback;
  };
  Poller(Fd epoll, Fd alarm) : epoll_(std::move(epoll)), alarm_(std::move(alarm)) {}
  void set_alarm();
  void run_timers();

  Fd epoll_;
  Fd alarm_;
  std::unordered_map<int, std::shared_ptr<std::function<void(std::uint32_t)>>> watches_;
  std::map<Id, Timer> timers_;
  std::set<std::pair<Clock::time_point, Id>> order_;
  Clock::time_point alarm_at_ = Clock::time_point::max();  // it rings not later than any is due
  bool dispatching_ = false;                               // which sets the alarm at its end
  Id next_ = 1;
};

}  // namespace weir
