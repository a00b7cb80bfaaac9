#include "agent/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include <cerrno>

namespace weir {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kAll = ~std::uint64_t{0};

TEST(Kernel, WhatIsMissingIsNamedWithItsRemedy) {
  const struct {
    Kernel kernel;
    Code code;
    const char* says;
  } cases[] = {
      {{"6.0.19-amd64", true, kAll}, Code::kKernel, "6.0.19-amd64 is too old: Weir needs 6.1"},
      {{"5.15.0", true, kAll}, Code::kKernel, "is too old"},
      {{"", true, kAll}, Code::kKernel, "is too old"},
      {{"6.6.0", false, kAll}, Code::kKernel, "CONFIG_DEBUG_INFO_BTF"},
      {{"6.6.0", true, 0},
       Code::kDenied,
       "lacks CAP_BPF CAP_NET_ADMIN CAP_PERFMON CAP_SYS_ADMIN: run it as root"},
      {{"6.6.0", true, kAll & ~(std::uint64_t{1} << CAP_BPF)}, Code::kDenied, "lacks CAP_BPF:"},
  };
  for (const auto& c : cases) {
    const auto checked = check(c.kernel);
    ASSERT_FALSE(checked) << c.says;
    EXPECT_EQ(checked.error().code(), c.code);
    EXPECT_THAT(checked.error().text(), HasSubstr(c.says));
  }
  EXPECT_TRUE(check({"6.1.0-37-amd64", true, kAll}));
  EXPECT_TRUE(check({"7.0.0-rc1", true, kAll}));
}

TEST(Kernel, WithoutVxlanTheRemedyIsTold) {
  const auto error = explain_vxlan(Error(Code::kKernel, "Operation not supported", EOPNOTSUPP));
  EXPECT_THAT(error.text(), HasSubstr("--tunnel false"));
  const Error other(Code::kKernel, "no memory", ENOMEM);
  EXPECT_EQ(explain_vxlan(other), other);
}

}  // namespace
}  // namespace weir
