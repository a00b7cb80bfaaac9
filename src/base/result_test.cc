#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace weir {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error(Code::kInvalid, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  WEIR_ASSIGN(const int h, half(n));
  return half(h);
}

Result<void> check(int n) {
  WEIR_TRY(quarter(n));
  return {};
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().text(), "odd");
  EXPECT_TRUE(check(4));
  EXPECT_EQ(check(7).error().code(), Code::kInvalid);
}

TEST(Error, EachLevelAddsItsNoun) {
  const Error error = errno_error(E2BIG, "map weir_ct").within("load from_pod");
  EXPECT_EQ(error.text(), "load from_pod: map weir_ct: Argument list too long");
  EXPECT_EQ(error.saved_errno(), E2BIG);
  EXPECT_EQ(error.code(), Code::kKernel);
}

}  // namespace
}  // namespace weir
