#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>

namespace weir::local {

using Clock = std::chrono::steady_clock;

// One thread waits for descriptors and times, and calls back. Callbacks may add and remove any.
class Loop {
 public:
  using Id = std::uint64_t;  // never used again; 0 is none

  // events as poll(2) has them. The descriptor stays open until removed.
  Id watch(int fd, short events, std::function<void()> callback);
  // Once.
  Id after(Clock::duration delay, std::function<void()> callback);
  // Unknown is success.
  void remove(Id id);
  void run();
  void stop() { running_ = false; }

 private:
  struct Watch {
    int fd;
    short events;
    std::shared_ptr<std::function<void()>> callback;
  };
  struct Timer {
    Clock::time_point at;
    std::function<void()> callback;
  };
  int timeout_ms() const;
  void run_timers();
  void run_watches();

  bool running_ = true;
  Id next_ = 1;
  std::map<Id, Watch> watches_;
  std::map<Id, Timer> timers_;
  std::set<std::pair<Clock::time_point, Id>> order_;
};

}  // namespace weir::local
