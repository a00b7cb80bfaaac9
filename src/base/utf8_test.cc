#include "base/utf8.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

constexpr std::size_t kAll = std::string_view::npos;

TEST(Utf8, TheFirstByteThatIsNoneIsFound) {
  const struct {
    std::string_view text;
    std::size_t at;
  } cases[] = {
      {"", kAll},
      {"cart", kAll},
      {"\xc3\xa4 \xe2\x86\x92 \xf0\x9f\x90\x8b", kAll},
      {"a\xff", 1},
      {"a\xc3", 1},             // ends too early
      {"\xc0\x80", 0},          // overlong
      {"\xed\xa0\x80", 0},      // a surrogate
      {"\xf4\x90\x80\x80", 0},  // above U+10FFFF
      {"\xc3\xa4\x80", 2},
  };
  for (const auto& c : cases) EXPECT_EQ(find_not_utf8(c.text), c.at) << c.text;
}

}  // namespace
}  // namespace weir
