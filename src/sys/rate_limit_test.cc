#include "sys/rate_limit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/links.h"
#include "sys/scratch_netns.h"

namespace weir {
namespace {

class RateLimits : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    host_.emplace(*make_scratch_netns());
    pod_.emplace(*make_scratch_netns());
    netlink_.emplace(*Netlink::open_in(*host_));
    Batch batch;
    request::add_veth(batch, {"weirtest", kIndex, {2, 0, 0, 0, 0, 1}},
                      {"eth0", 2, {2, 0, 0, 0, 0, 2}}, pod_->fd(), 1400);
    ASSERT_TRUE(netlink_->run(batch));
  }
  Result<void> limit(const RateLimit& wanted) {
    Batch batch;
    request::limit_rate(batch, kIndex, wanted);
    return netlink_->run(batch);
  }
  static constexpr std::uint32_t kIndex = 77;
  std::optional<Netns> host_;
  std::optional<Netns> pod_;
  std::optional<Netlink> netlink_;
};

TEST_F(RateLimits, WhatIsSetIsFound) {
  EXPECT_EQ(*find_rate_limit(*netlink_, kIndex), std::nullopt);
  for (const auto& wanted : {RateLimit{1'250'000, 25'000, 90'000}, RateLimit{125, 6'000, 70'000},
                             RateLimit{125'000'000'000'000, 4'000'000'000, 4'000'000'000},
                             RateLimit{4'294'967'295, 1'000'000, 1'000'000}}) {
    const auto made = limit(wanted);
    ASSERT_TRUE(made) << made.error().text();
    const auto found = *find_rate_limit(*netlink_, kIndex);
    ASSERT_TRUE(found) << wanted.bytes_per_second;
    EXPECT_EQ(found->bytes_per_second, wanted.bytes_per_second);
    EXPECT_EQ(found->queue_bytes, wanted.queue_bytes);
  }
  ASSERT_TRUE(limit({1'250'000, 25'000, 90'000}));
  EXPECT_NEAR((*find_rate_limit(*netlink_, kIndex))->burst_bytes, 25'000, 10);
  EXPECT_EQ(*find_rate_limit(*netlink_, 1), std::nullopt);
}

TEST_F(RateLimits, AnUnknownLinkIsAnError) {
  Batch batch;
  request::limit_rate(batch, 4711, {1'250'000, 25'000, 90'000});
  EXPECT_FALSE(netlink_->run(batch));
}

}  // namespace
}  // namespace weir
