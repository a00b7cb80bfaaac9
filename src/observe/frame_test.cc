#include "observe/frame.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir {
namespace {

std::vector<std::byte> v4_frame() {
  std::vector<std::byte> frame(14 + 24 + 8);
  const auto put = [&](std::size_t at, std::initializer_list<int> values) {
    for (const int value : values) frame[at++] = static_cast<std::byte>(value);
  };
  put(12, {0x08, 0x00, 0x46});  // a header with options: 24 bytes
  put(14 + 9, {17});
  put(14 + 12, {10, 0, 0, 1, 10, 0, 0, 2});
  put(14 + 24, {0x04, 0x00, 0, 53});
  return frame;
}

TEST(ParseFrame, ReadsPortsBehindOptions) {
  const auto tuple = parse_frame(v4_frame());
  ASSERT_TRUE(tuple);
  EXPECT_EQ(tuple->source.to_string(), "10.0.0.1");
  EXPECT_EQ(tuple->destination.to_string(), "10.0.0.2");
  EXPECT_EQ(tuple->source_port, 1024);
  EXPECT_EQ(tuple->destination_port, 53);
}

TEST(ParseFrame, ALaterFragmentHasNoPorts) {
  auto frame = v4_frame();
  frame[14 + 7] = std::byte{1};
  EXPECT_EQ(parse_frame(frame)->destination_port, 0);
}

TEST(ParseFrame, ReadsIpv6) {
  std::vector<std::byte> frame(14 + 40 + 4);
  frame[12] = std::byte{0x86};
  frame[13] = std::byte{0xdd};
  frame[14 + 6] = std::byte{6};
  frame[14 + 8] = std::byte{0xfd};
  frame[14 + 39] = std::byte{1};
  frame[14 + 43] = std::byte{80};
  const auto tuple = parse_frame(frame);
  EXPECT_EQ(tuple->source.to_string(), "fd00::");
  EXPECT_EQ(tuple->destination.to_string(), "::1");
  EXPECT_EQ(tuple->destination_port, 80);
}

TEST(ParseFrame, NeverReadsBehindTheEnd) {
  const auto whole = v4_frame();
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(parse_frame(cut).has_value(), size >= 34) << size;
  }
}

}  // namespace
}  // namespace weir
