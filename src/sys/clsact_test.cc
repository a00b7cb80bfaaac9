#include "sys/clsact.h"

#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "sys/links.h"
#include "sys/scratch_netns.h"

namespace weir {
namespace {

// Lets all pass.
Fd make_program() {
  std::array<bpf_insn, 2> code{};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  code[0].imm = -1;
  code[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
  attr.insns = reinterpret_cast<std::uintptr_t>(code.data());
  attr.insn_cnt = code.size();
  attr.license = reinterpret_cast<std::uintptr_t>("GPL");
  return Fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr)));
}

class Clsact : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    netns_.emplace(*make_scratch_netns());
    netlink_.emplace(*Netlink::open_in(*netns_));
    programs_ = {make_program(), make_program()};
    ASSERT_TRUE(programs_[0] && programs_[1]) << std::strerror(errno);
  }
  Result<void> add_clsact() {
    Batch batch;
    request::add_clsact(batch, kIndex);
    return netlink_->run(batch);
  }
  Result<void> put(bool egress, std::size_t program) {
    Batch batch;
    request::put_filter(batch, kIndex, egress, programs_.at(program).get(), "weir_test");
    return netlink_->run(batch);
  }
  Result<void> remove(bool egress) {
    Batch batch;
    request::delete_filter(batch, kIndex, egress);
    return netlink_->run(batch);
  }
  std::vector<Filter> filters() { return *list_filters(*netlink_, kIndex); }

  static constexpr std::uint32_t kIndex = 1;  // loopback
  std::optional<Netns> netns_;
  std::optional<Netlink> netlink_;
  std::array<Fd, 2> programs_;
};

TEST_F(Clsact, AFilterIsPutReplacedAndDeletedByItsDirection) {
  EXPECT_FALSE(put(false, 0));  // without the qdisc
  ASSERT_TRUE(add_clsact());
  for (const bool egress : {false, true}) {
    ASSERT_TRUE(put(egress, 0));
    ASSERT_EQ(filters().size(), 1u);
    const Filter first = filters()[0];
    EXPECT_TRUE(first.is_ours());
    EXPECT_EQ(first.egress, egress);
    EXPECT_EQ(first.name, "weir_test");
    ASSERT_TRUE(put(egress, 1));
    ASSERT_EQ(filters().size(), 1u);
    EXPECT_NE(filters()[0].program, first.program);
    ASSERT_TRUE(remove(!egress));
    ASSERT_EQ(filters().size(), 1u);
    ASSERT_TRUE(remove(egress));
    EXPECT_TRUE(filters().empty());
  }
}

TEST_F(Clsact, TheQdiscIsFoundAndNotMadeTwice) {
  EXPECT_EQ(*find_ingress_qdisc(*netlink_, kIndex), "");
  EXPECT_TRUE(list_clsact(*netlink_)->empty());
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(add_clsact());
    EXPECT_EQ(*find_ingress_qdisc(*netlink_, kIndex), "clsact");
    EXPECT_EQ(*list_clsact(*netlink_), std::vector<std::uint32_t>{kIndex});
    EXPECT_EQ(add_clsact().error().saved_errno(), EEXIST);
    Batch batch;
    request::delete_clsact(batch, kIndex);
    ASSERT_TRUE(netlink_->run(batch));
    EXPECT_EQ(*find_ingress_qdisc(*netlink_, kIndex), "");
  }
}

TEST_F(Clsact, ALinkThatIsGoneHasNone) {
  EXPECT_TRUE(list_filters(*netlink_, 4711)->empty());
  EXPECT_EQ(find_ingress_qdisc(*netlink_, 4711).error().saved_errno(), ENODEV);
}

}  // namespace
}  // namespace weir
