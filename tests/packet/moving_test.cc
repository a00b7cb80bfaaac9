// While programs move between TCX and clsact, one packet meets both at the same hook.
#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "harness/bed.h"

namespace weir {
namespace {

class Moving : public PacketTest {
 protected:
  void move(bool on) {
    const std::uint32_t zero = 0;
    weir_state state{};
    const int map = bed().pinned_map("weir_state");
    ASSERT_EQ(bpf_map_lookup_elem(map, &zero, &state), 0);
    state.moving = on ? 1 : 0;
    ASSERT_EQ(bpf_map_update_elem(map, &zero, &state, BPF_ANY), 0);
  }
  // Runs on what the run before has left in the control block.
  int meet(weir_hook hook, std::uint32_t ifindex, const Packet& packet) {
    const Bytes frame = packet.bytes();
    __sk_buff in{}, out{};
    in.ifindex = ifindex;
    std::copy(std::begin(left_), std::end(left_), std::begin(in.cb));
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &in, .ctx_out = &out,
                .ctx_size_in = sizeof in, .ctx_size_out = sizeof out, .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(bed().program(hook), &options), 0);
    std::copy(std::begin(out.cb), std::end(out.cb), std::begin(left_));
    return static_cast<int>(options.retval);
  }
  std::uint64_t judged(weir_hook hook) { return bed().metric(hook, WEIR_OUTCOME_IN).packets; }

 private:
  std::uint32_t left_[5] = {};
};

TEST_P(Moving, TheSecondLetsItBe) {
  const Packet to_host = eth() / ip(cast().pod_a, cast().node) / udp(7, 8);
  const Packet from_host = eth() / ip(cast().node, cast().pod_a) / udp(8, 7);
  const Packet from_outside =
      eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / udp(9, 9);
  const Packet to_outside = eth() / ip(cast().node, cast().outside) / udp(9, 9);
  const struct {
    weir_hook hook;
    std::uint32_t ifindex;
    const Packet& packet;
  } cases[] = {{WEIR_HOOK_FROM_POD, kLinkA, to_host},
               {WEIR_HOOK_TO_POD, kLinkA, from_host},
               {WEIR_HOOK_FROM_NET, kUplink, from_outside},
               {WEIR_HOOK_TO_NET, kUplink, to_outside}};
  for (const auto& c : cases) {
    move(true);
    const std::uint64_t before = judged(c.hook);
    EXPECT_EQ(meet(c.hook, c.ifindex, c.packet), kNext);
    EXPECT_EQ(judged(c.hook), before + 1);
    EXPECT_EQ(meet(c.hook, c.ifindex, c.packet), kNext);
    EXPECT_EQ(judged(c.hook), before + 1) << c.hook;
    meet(c.hook, c.ifindex == kLinkA ? kLinkB : kTunnel, c.packet);
    EXPECT_EQ(judged(c.hook), before + 2) << "another link is another hook";
    meet(c.hook, c.ifindex, c.packet);
    move(false);
    meet(c.hook, c.ifindex, c.packet);
    EXPECT_EQ(judged(c.hook), before + 4) << "nothing moves any more";
  }
}

WEIR_BOTH_FAMILIES(Moving);

}  // namespace
}  // namespace weir
