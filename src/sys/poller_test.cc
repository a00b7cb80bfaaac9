#include "sys/poller.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <string>

namespace weir {
namespace {

using namespace std::chrono_literals;

// Waits for the one descriptor, as an owner does.
void serve(Poller& poller) {
  pollfd waiting{.fd = poller.fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&waiting, 1, 5000), 1);
  poller.dispatch();
}

TEST(Poller, TimersRunInTheOrderOfTheirTimes) {
  const auto poller = *Poller::open();
  std::string ran;
  poller->after(20ms, [&] { ran += "c"; });
  poller->after(1ms, [&] { ran += "a"; });
  poller->after(10ms, [&] { ran += "b"; });
  while (ran.size() < 3) serve(*poller);
  EXPECT_EQ(ran, "abc");
}

TEST(Poller, ACancelledTimerDoesNotRun) {
  const auto poller = *Poller::open();
  std::string ran;
  const auto first = poller->after(1ms, [&] { ran += "a"; });
  poller->after(5ms, [&] { ran += "b"; });
  poller->cancel(first);
  while (ran.empty()) serve(*poller);
  EXPECT_EQ(ran, "b");
}

TEST(Poller, ATimerMaySetTheNext) {
  const auto poller = *Poller::open();
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 3) poller->after(0ms, again);
  };
  poller->after(0ms, again);
  while (runs < 3) serve(*poller);
  EXPECT_EQ(runs, 3);
}

// The alarm is set once, at the end of a dispatch.
TEST(Poller, ACallbacksEarlierTimerIsNotMissed) {
  const auto poller = *Poller::open();
  std::string ran;
  poller->after(1h, [&] { ran += "late"; });
  const auto soon = poller->after(1ms, [&] {
    ran += "a";
    poller->after(2ms, [&] { ran += "c"; });
    poller->after(1ms, [&] { ran += "b"; });
  });
  while (ran.size() < 3) serve(*poller);
  EXPECT_EQ(ran, "abc");
  poller->cancel(soon);
}

TEST(Poller, TimersForAtOnceDoNotKeepDescriptorsWaiting) {
  const auto poller = *Poller::open();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  bool heard = false;
  ASSERT_TRUE(poller->watch(ends[0], EPOLLIN, [&](std::uint32_t) { heard = true; }));
  std::function<void()> again = [&] {
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    if (!heard) poller->after(0ms, again);
  };
  poller->after(0ms, again);
  for (int turn = 0; turn < 5 && !heard; ++turn) serve(*poller);
  EXPECT_TRUE(heard);
  for (const int end : ends) close(end);
}

TEST(Poller, ACallbackMayForgetItsOwnAndOtherDescriptors) {
  const auto poller = *Poller::open();
  int ends[4];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(pipe(ends + 2), 0);
  int calls = 0;
  const auto callback = [&](std::uint32_t) {
    ++calls;
    poller->forget(ends[0]);
    poller->forget(ends[2]);
  };
  ASSERT_TRUE(poller->watch(ends[0], EPOLLIN, callback));
  ASSERT_TRUE(poller->watch(ends[2], EPOLLIN, callback));
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ASSERT_EQ(write(ends[3], "x", 1), 1);
  serve(*poller);
  EXPECT_EQ(calls, 1);
  pollfd idle{.fd = poller->fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&idle, 1, 0), 0);
  for (const int end : ends) close(end);
}

}  // namespace
}  // namespace weir
