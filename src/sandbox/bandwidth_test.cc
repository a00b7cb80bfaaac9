#include "sandbox/bandwidth.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

constexpr std::uint32_t kMtu = 1450;
constexpr std::uint32_t kFrame = kMtu + 14;

TEST(RateLimitOf, NothingIsNoLimit) { EXPECT_EQ(rate_limit({0, 0}, kMtu), std::nullopt); }

TEST(RateLimitOf, TheBurstSuitsTheRate) {
  const auto slow = rate_limit({1000, 0}, kMtu);
  EXPECT_EQ(slow->bytes_per_second, 125u);
  EXPECT_GE(slow->burst_bytes, kFrame);
  EXPECT_LT(slow->burst_bytes, 10 * kFrame);
  const auto fast = rate_limit({1'000'000'000, 0}, kMtu);
  EXPECT_EQ(fast->burst_bytes, 2'500'000u);  // 20 ms
  EXPECT_EQ(rate_limit({1'000'000'000'000'000, 0}, kMtu)->burst_bytes, 0xffffffffu);
}

TEST(RateLimitOf, AnAskedBurstIsTaken) {
  EXPECT_EQ(rate_limit({1'000'000, 800'000}, kMtu)->burst_bytes, 100'000u);
  // But a frame has to fit.
  EXPECT_GE(rate_limit({1'000'000, 8}, kMtu)->burst_bytes, kFrame);
}

// A packet that fits the burst is not cut into segments before it waits.
TEST(RateLimitOf, TheQueueHoldsTheLargestPacket) {
  constexpr std::uint32_t kLargest = 200'000;  // BIG TCP, with all its headers
  for (const std::uint64_t rate : {1000ULL, 10'000'000ULL, 100'000'000ULL, 10'000'000'000ULL}) {
    for (const std::uint64_t burst : {0ULL, 8ULL, 800'000ULL, 34'359'738'360ULL}) {
      const auto limit = rate_limit({rate, burst}, kMtu);
      EXPECT_GE(limit->queue_bytes, std::min(limit->burst_bytes, kLargest)) << rate << " " << burst;
    }
  }
}

}  // namespace
}  // namespace weir
