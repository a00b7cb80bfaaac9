#include "agent/sysctls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Sysctls, NamesHaveDotsOrSlashes) {
  EXPECT_EQ(*parse_sysctl("net.core.somaxconn=8192"), (Sysctl{"net/core/somaxconn", "8192"}));
  EXPECT_EQ(*parse_sysctl("net/ipv4/conf/eth0.7/rp_filter=2"),
            (Sysctl{"net/ipv4/conf/eth0.7/rp_filter", "2"}));
  EXPECT_EQ(*parse_sysctl("net.ipv4.tcp_rmem=1 2 3"), (Sysctl{"net/ipv4/tcp_rmem", "1 2 3"}));
}

TEST(Sysctls, OthersAreRefused) {
  for (const char* text : {"net.core.somaxconn", "net.core.somaxconn=", ""}) {
    const auto found = parse_sysctl(text);
    ASSERT_FALSE(found) << text;
    EXPECT_THAT(found.error().text(), HasSubstr("must be NAME=VALUE")) << text;
  }
  for (const char* text : {"=1", "kernel.panic=1", "net=1", "net.=1", "net/../kernel/panic=1",
                           "net/ipv4/..=1", "net//ipv4=1", "net.a b=1", "/net/core=1"}) {
    const auto found = parse_sysctl(text);
    ASSERT_FALSE(found) << text;
    EXPECT_THAT(found.error().text(), HasSubstr("is no name below net.")) << text;
  }
}

TEST(Sysctls, WhatWeirNeedsIsItsOwn) {
  for (const char* text : {"net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0",
                           "net/ipv4/conf/eth0.7/accept_local=0"}) {
    const auto found = parse_sysctl(text);
    ASSERT_FALSE(found) << text;
    EXPECT_THAT(found.error().text(), HasSubstr("Weir sets")) << text;
  }
}

TEST(Sysctls, KeptOnesAreOfTheNetwork) {
  EXPECT_THAT(
      parse_kept_sysctls("net/ipv4/ip_forward=0\nkernel/panic=1\nnet/../kernel/panic=1\n"
                         "net/ipv4/conf/a@b/accept_local=1\n/net/x=1\nnet/..=1\nnonsense\n"),
      ElementsAre(Sysctl{"net/ipv4/ip_forward", "0"},
                  Sysctl{"net/ipv4/conf/a@b/accept_local", "1"}));
}

}  // namespace
}  // namespace weir
