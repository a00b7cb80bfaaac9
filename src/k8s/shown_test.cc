#include "k8s/shown.h"

#include <gtest/gtest.h>

namespace weir::k8s {
namespace {

TEST(Shown, IsShortPrintableText) {
  const struct {
    std::string_view text;
    const char* want;
  } cases[] = {
      {"", ""},
      {"12345678", "12345678"},
      {"123456789", "12345678..."},
      {"a\nb\x1b[1m", "a?b?[1m"},
      {{"\0\x7f", 2}, "??"},
      {"gr\u00fc\u00dfe", "gr\u00fc\u00dfe"},
      {"1234567\u00fc", "1234567..."},  // no half of it
      {"\xff\xfe", "??"},
      {"a\xc3", "a?"},
      {"\xed\xa0\x80", "???"},  // a surrogate
  };
  for (const auto& c : cases) EXPECT_EQ(shown(c.text, 8), c.want) << c.text;
}

}  // namespace
}  // namespace weir::k8s
