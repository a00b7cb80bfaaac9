#include "sys/poller.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace weir {
namespace {

constexpr int kTimerRounds = 4;

}  // namespace

Result<std::unique_ptr<Poller>> Poller::open() {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return errno_error(errno, "epoll");
  Fd alarm(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!alarm) return errno_error(errno, "timerfd");
  epoll_event event{.events = EPOLLIN, .data = {.fd = alarm.get()}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, alarm.get(), &event) != 0) {
    return errno_error(errno, "epoll of a timer");
  }
  return std::unique_ptr<Poller>(new Poller(std::move(epoll), std::move(alarm)));
}

void Poller::dispatch() {
  std::array<epoll_event, 64> events{};
  const int n = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  dispatching_ = true;
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.fd == alarm_.get()) {
      std::uint64_t rings = 0;
      if (read(alarm_.get(), &rings, sizeof rings) > 0) alarm_at_ = Clock::time_point::max();
      continue;
    }
    const auto found = watches_.find(event.data.fd);  // an earlier callback may have removed it
    if (found == watches_.end()) continue;
    const auto callback = found->second;
    (*callback)(event.events);
  }
  run_timers();
  dispatching_ = false;
  set_alarm();
}

Result<void> Poller::watch(int fd, std::uint32_t events,
                           std::function<void(std::uint32_t)> callback) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  const int how = watches_.contains(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (epoll_ctl(epoll_.get(), how, fd, &event) != 0) return errno_error(errno, "epoll");
  watches_[fd] = std::make_shared<std::function<void(std::uint32_t)>>(std::move(callback));
  return {};
}

void Poller::forget(int fd) {
  if (watches_.erase(fd) != 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Poller::Id Poller::after(Clock::duration delay, std::function<void()> callback) {
  const auto at = Clock::now() + delay;
  timers_[next_] = {at, std::move(callback)};
  order_.emplace(at, next_);
  if (!dispatching_) set_alarm();
  return next_++;
}

void Poller::cancel(Id id) {
  const auto timer = timers_.find(id);
  if (timer == timers_.end()) return;
  order_.erase({timer->second.at, id});
  timers_.erase(timer);  // the alarm may ring for nothing
}

// Rings when the first timer is due, or before: to set it costs more than to wake for nothing, and
// most timers are cancelled.
void Poller::set_alarm() {
  if (order_.empty() || order_.begin()->first >= alarm_at_) return;
  alarm_at_ = order_.begin()->first;
  const auto left = std::max<std::int64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(alarm_at_ - Clock::now()).count(), 1);
  const itimerspec spec{
      .it_interval = {},
      .it_value = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000}};
  timerfd_settime(alarm_.get(), 0, &spec, nullptr);
}

// Also those that callbacks make for at once; not for ever, descriptors have their turn.
void Poller::run_timers() {
  for (int round = 0; round < kTimerRounds; ++round) {
    const auto now = Clock::now();
    if (order_.empty() || order_.begin()->first > now) return;
    while (!order_.empty() && order_.begin()->first <= now) {
      const auto timer = timers_.find(order_.begin()->second);
      order_.erase(order_.begin());
      const auto callback = std::move(timer->second.callback);
      timers_.erase(timer);
      callback();
    }
  }
}

}  // namespace weir
