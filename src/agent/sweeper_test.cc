#include "agent/sweeper.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "abi/event.h"
#include "dataplane/sweep.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kRoom = 100;

using Names = std::vector<std::string>;

std::string name_of(const weir_sweep& limits) {
  for (const auto& [name, known] :
       {std::pair("idle", kIdleLimits), {"busy", kBusyLimits}, {"hurried", kHurriedLimits}}) {
    if (std::memcmp(&limits, &known, sizeof limits) == 0) return name;
  }
  return "others";
}

// Each pass of the table ends one connection.
class SweeperTest : public testing::Test {
 protected:
  // Until the loop was told of so many.
  void run_until_ended(std::size_t connections) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (ended_ < connections && std::chrono::steady_clock::now() < deadline) {
      loop_.run_one_for(1s);
    }
    ASSERT_EQ(ended_, connections);
  }
  Names passes() {
    const std::lock_guard lock(mutex_);
    return passes_;
  }

  Result<void> sweep(const weir_sweep& limits, const Sweeper::OnEvent& on_ended) {
    const std::lock_guard lock(mutex_);
    passes_.push_back(name_of(limits));
    weir_event event{};
    event.type = WEIR_EVENT_ENDED;
    on_ended(std::as_bytes(std::span(&event, 1)));
    return {};
  }
  Sweeper::Table table() {
    return {.refused = [this] { return refused_; },
            .sweep = [this](const auto& limits, const auto& on) { return sweep(limits, on); },
            .count = [this] { return left_; }};
  }
  void ended(std::span<const std::byte> event) {
    ASSERT_EQ(event.size(), sizeof(weir_event));
    EXPECT_EQ(reinterpret_cast<const weir_event*>(event.data())->type, WEIR_EVENT_ENDED);
    ++ended_;
  }

  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> awaits_passes_ =
      boost::asio::make_work_guard(loop_);
  std::mutex mutex_;
  Names passes_;
  std::uint64_t refused_ = 0;
  std::uint64_t left_ = 0;
  std::size_t ended_ = 0;
  Sweeper sweeper_{loop_, table(), kRoom, [this](auto event) { ended(event); }};
};

TEST_F(SweeperTest, TheFirstPassIsAtOnceAndCounts) {
  left_ = 7;
  refused_ = 3;  // of an earlier agent's time
  sweeper_.start();
  run_until_ended(1);
  EXPECT_EQ(sweeper_.connections(), 7U);
  EXPECT_EQ(passes(), Names{"idle"});
}

TEST_F(SweeperTest, AFullTableGetsTwoPassesWithShortLimits) {
  sweeper_.start();
  refused_ = 5;
  run_until_ended(2);
  EXPECT_EQ(passes(), (Names{"hurried", "hurried"}));
  sweeper_.hurry();  // is known: the next pass comes in its time, and finds the table mended
  run_until_ended(3);
  EXPECT_EQ(passes().back(), "idle");
}

TEST_F(SweeperTest, WhoHurriesGetsAPassBeforeItsTime) {
  sweeper_.start();
  run_until_ended(1);
  const auto before = std::chrono::steady_clock::now();
  sweeper_.hurry();
  run_until_ended(2);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1500ms);
}

TEST_F(SweeperTest, ATableAQuarterFullIsSweptForClosedOnes) {
  left_ = kRoom / 4 + 1;
  sweeper_.start();
  run_until_ended(1);
  sweeper_.hurry();
  run_until_ended(2);
  EXPECT_EQ(passes(), (Names{"idle", "busy"}));
}

TEST_F(SweeperTest, OtherWorkIsDoneBeforeItEnds) {
  bool done = false;
  {
    Sweeper other(loop_, table(), kRoom, [](auto) {});
    other.post([&done] { done = true; });
  }
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace weir
