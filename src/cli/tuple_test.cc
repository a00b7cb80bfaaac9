#include "cli/tuple.h"

#include <gtest/gtest.h>

namespace weir::cli {
namespace {

std::string shown(const Tuple::End& end) {
  return (end.address ? end.address->to_string() : "*") + "|" + end.port;
}

TEST(ParseTuple, TakesEveryPartOrNone) {
  const struct {
    const char* text;
    const char* source;
    const char* destination;
    const char* protocol;
  } cases[] = {
      {"10.244.0.5:41234>10.244.1.7:8080/tcp", "10.244.0.5|41234", "10.244.1.7|8080", "tcp"},
      {"10.244.0.5>10.244.1.7", "10.244.0.5|", "10.244.1.7|", ""},
      {">10.244.1.7:53/udp", "*|", "10.244.1.7|53", "udp"},
      {":1>:2", "*|1", "*|2", ""},
      {"[fd00::5]:1>fd00::7/6", "fd00::5|1", "fd00::7|", "6"},
      {"[fd00::5]>", "fd00::5|", "*|", ""},
  };
  for (const auto& one : cases) {
    const auto tuple = parse_tuple(one.text);
    ASSERT_TRUE(tuple) << one.text << ": " << tuple.error().text();
    EXPECT_EQ(shown(tuple->source), one.source);
    EXPECT_EQ(shown(tuple->destination), one.destination);
    EXPECT_EQ(tuple->protocol, one.protocol);
  }
}

TEST(ParseTuple, RefusesNonsense) {
  for (const char* text : {"", "10.0.0.1", "x>y", "10.0.0.1:http>", "[fd00::1:80>", "10.0.0.1:>"}) {
    EXPECT_FALSE(parse_tuple(text)) << text;
  }
}

}  // namespace
}  // namespace weir::cli
