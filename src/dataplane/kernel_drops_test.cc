#include "dataplane/kernel_drops.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(KernelDrops, LossesAreCountedAndDeliveriesAreNot) {
  const struct {
    const char* name;
    weir_kernel_reason kind;
  } cases[] = {
      {"NOT_SPECIFIED", WEIR_KERNEL_UNSAID},
      {"NEIGH_FAILED", WEIR_KERNEL_COUNTED},
      {"QDISC_DROP", WEIR_KERNEL_COUNTED},
      {"DEV_READY", WEIR_KERNEL_COUNTED},
      {"NETFILTER_DROP", WEIR_KERNEL_COUNTED},
      {"SOCKET_RCVBUFF", WEIR_KERNEL_COUNTED},
      {"TCP_CSUM", WEIR_KERNEL_COUNTED},
      {"TCP_LISTEN_OVERFLOW", WEIR_KERNEL_COUNTED},
      {"TCP_MD5NOTFOUND", WEIR_KERNEL_COUNTED},
      {"TCP_AOFAILURE", WEIR_KERNEL_COUNTED},
      {"A_REASON_OF_LATER_KERNELS", WEIR_KERNEL_COUNTED},
      {"CONSUMED", WEIR_KERNEL_LEFT_OUT},
      {"QUEUE_PURGE", WEIR_KERNEL_LEFT_OUT},
      {"NO_SOCKET", WEIR_KERNEL_LEFT_OUT},
      {"TCP_OLD_DATA", WEIR_KERNEL_LEFT_OUT},
      {"TCP_RFC7323_PAWS", WEIR_KERNEL_LEFT_OUT},
      {"XDP", WEIR_KERNEL_LEFT_OUT},
      {"TC_INGRESS", WEIR_KERNEL_BY_TC},
      {"TC_EGRESS", WEIR_KERNEL_BY_TC},
  };
  for (const auto& one : cases) EXPECT_EQ(kind_of_kernel_reason(one.name), one.kind) << one.name;
}

// All kernels that Weir runs on have BTF and these.
TEST(KernelDrops, TheRunningKernelsReasonsHaveNames) {
  const auto reasons = KernelReasons::read();
  ASSERT_TRUE(reasons) << reasons.error().text();
  EXPECT_EQ(reasons->name(2), "NOT_SPECIFIED");
  EXPECT_EQ(reasons->abi().kind[2], WEIR_KERNEL_UNSAID);
  EXPECT_EQ(reasons->name(WEIR_KERNEL_REASONS - 1), "255");
  bool purge = false;
  for (std::uint32_t i = 0; i < WEIR_KERNEL_REASONS; ++i) {
    if (reasons->name(i) != "QUEUE_PURGE") continue;
    purge = true;
    EXPECT_EQ(reasons->abi().kind[i], WEIR_KERNEL_LEFT_OUT);
  }
  EXPECT_TRUE(purge);
}

}  // namespace
}  // namespace weir
