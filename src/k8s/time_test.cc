#include "k8s/time.h"

#include <gtest/gtest.h>

namespace weir::k8s {
namespace {

TEST(Time, Rfc3339IsReadToTheSecond) {
  const struct {
    const char* text;
    std::int64_t seconds;
  } cases[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"2026-11-24T02:00:00Z", 1795485600},
      {"2024-02-29T23:59:59.999999Z", 1709251199},
      {"2026-11-24T02:00:00+02:30", 1795476600},
      {"2026-11-24T02:00:00-02:30", 1795494600},
      {"2016-12-31T23:59:60Z", 1483228800},
      {"9999-12-31T23:59:59Z", 253402300799},
  };
  for (const auto& c : cases) EXPECT_EQ(parse_time(c.text), c.seconds) << c.text;
  EXPECT_EQ(format_time(1795485600), "2026-11-24T02:00:00Z");
  EXPECT_EQ(format_time(253402300799), "9999-12-31T23:59:59Z");
}

TEST(Time, NothingElseIsATime) {
  for (const char* text :
       {"", "2026", "2026-11-24", "2026-13-24T02:00:00Z", "2026-02-30T02:00:00Z",
        "2026-11-24T24:00:00Z", "2026-11-24T02:60:00Z", "2026-11-24T02:00:00",
        "2026-11-24T02:00:00.Z", "2026-11-24T02:00:00Z ", "2026-11-24T02:00:00+2:30",
        "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:60Z",
        "-026-11-24T02:00:00Z", "2026-11-24T02:00:00+24:00"}) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace weir::k8s
