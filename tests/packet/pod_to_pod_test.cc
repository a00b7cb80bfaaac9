// Two pods of one node: the packet's life from one pod's link into the other's.
#include "harness/bed.h"

namespace weir {
namespace {

class PodToPod : public PacketTest {};

TEST_P(PodToPod, RequestAndReply) {
  const auto& [pod_a, pod_b] = std::pair(cast().pod_a, cast().pod_b);
  const Outcome request = bed().from_pod(kLinkA, eth() / ip(pod_a, pod_b) / tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(request.frame,
                          eth(kMacB, kMacLink) / ip(pod_a, pod_b).ttl(63) / tcp(40000, 80, SYN)));
  const Outcome reply =
      bed().from_pod(kLinkB, eth() / ip(pod_b, pod_a) / tcp(80, 40000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      reply.frame, eth(kMacA, kMacLink) / ip(pod_b, pod_a).ttl(63) / tcp(80, 40000, SYN | ACK)));
}

WEIR_BOTH_FAMILIES(PodToPod);

}  // namespace
}  // namespace weir
