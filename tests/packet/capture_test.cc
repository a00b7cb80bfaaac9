// Captures: what reaches their reader.
#include "harness/bed.h"

namespace weir {
namespace {

class Captures : public PacketTest {
 protected:
  Result<std::unique_ptr<RingReader>> begin() {
    weir_capture_filter all{};
    all.snap = 64;
    return bed().plane().start_capture(all, [this](auto) { ++seen_; });
  }
  void send() { bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)); }

  int seen_ = 0;
};

TEST_P(Captures, ASecondOneHasNothingOfTheFirst) {
  const auto first = begin();
  ASSERT_TRUE(first);
  send();
  bed().plane().stop_capture();  // its reader had no time
  const auto second = begin();
  ASSERT_TRUE(second);
  (*second)->drain();
  EXPECT_EQ(seen_, 0);
  send();
  (*second)->drain();
  EXPECT_EQ(seen_, 1);
  bed().plane().stop_capture();
}

WEIR_BOTH_FAMILIES(Captures);

}  // namespace
}  // namespace weir
