// VLAN tags, on real links: the kernel takes the tag off a frame before the hook, and would put it
// back on the way out. A pod that tags its frames would reach whatever VLAN the NIC's switch
// carries.
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "harness/bed.h"

namespace weir {
namespace {

class Vlan : public PacketTest {
 protected:
  // From the pod's end of its link.
  void send(const Bytes& frame) {
    const Fd socket(::socket(AF_PACKET, SOCK_RAW, 0));
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(kLinkA) + 100;
    const auto sent = sendto(socket.get(), frame.data(), frame.size(), 0,
                             reinterpret_cast<const sockaddr*>(&to), sizeof to);
    ASSERT_EQ(sent, static_cast<ssize_t>(frame.size()));
  }
};

TEST_P(Vlan, ATaggedFrameDoesNotLeaveAPod) {
  ASSERT_TRUE(bed().plane().attach_pod("lxca", kLinkA));
  Packet packet = eth();
  packet = packet / ip(cast().pod_a, cast().outside) / udp(62000, 53) / payload(30);
  const Bytes frame = packet.bytes();
  const auto forwarded = [&] {
    return bed().metric(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_FORWARD).packets;
  };
  const std::uint64_t before = forwarded();
  send(frame);
  EXPECT_EQ(forwarded(), before + 1) << "untagged it leaves";
  Bytes tagged;
  tagged.reserve(frame.size() + 4);
  std::copy(frame.begin(), frame.begin() + 12, std::back_inserter(tagged));
  for (const int byte : {0x81, 0x00, 0x00, 0x2a}) tagged.push_back(static_cast<std::uint8_t>(byte));
  std::copy(frame.begin() + 12, frame.end(), std::back_inserter(tagged));
  send(tagged);
  EXPECT_EQ(forwarded(), before + 1);
  EXPECT_EQ(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_UNSUPPORTED_L3), 1u);
}

WEIR_BOTH_FAMILIES(Vlan);

}  // namespace
}  // namespace weir
