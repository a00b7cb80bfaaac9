#include "observe/service_counters.h"

#include <gtest/gtest.h>

#include "observe/flow_fixture.h"

namespace weir {
namespace {

Flow flow_to(const std::string& service, std::uint8_t type) {
  Flow flow = fixture::service_flow({.type = type, .destination = "10.96.3.4"});
  flow.service = std::make_shared<const ServiceName>(ServiceName{"shop", service, ""});
  return flow;
}

TEST(ServiceCounters, TotalsAreOfConnectionsThatAreOver) {
  ServiceCounters counters;
  Flow flow = flow_to("cart", WEIR_EVENT_ENDED);
  flow.replied = true;
  flow.packets = {3, 2};
  flow.bytes = {300, 2000};
  counters.add(flow);
  flow.replied = false;
  flow.bytes = {60, 0};
  counters.add(flow);
  for (const std::uint8_t type : {WEIR_EVENT_NEW, WEIR_EVENT_CLOSED}) {
    counters.add(flow_to("cart", type));
  }
  counters.add(flow_to("cart", WEIR_EVENT_DROP));
  const ServiceCounts counts = counters.of({"shop", "cart"});
  EXPECT_EQ(counts.connections, 2U);
  EXPECT_EQ(counts.unanswered, 1U);
  EXPECT_EQ(counts.bytes, (std::array<std::uint64_t, 2>{360, 2000}));
  EXPECT_EQ(counts.packets[1], 4U);
  EXPECT_EQ(counts.drops, 1U);
}

TEST(ServiceCounters, FlowsToNoServiceDoNotCount) {
  ServiceCounters counters;
  counters.add(fixture::flow({.type = WEIR_EVENT_ENDED}));
  Flow of_another_node = flow_to("cart", WEIR_EVENT_ENDED);
  of_another_node.service_id = 0;
  counters.add(of_another_node);
  EXPECT_TRUE(counters.services().empty());
  EXPECT_EQ(counters.of({"shop", "cart"}).connections, 0U);
}

TEST(ServiceCounters, MedianOfTheTimesToTheFirstAnswer) {
  const struct {
    std::vector<std::uint64_t> us;
    std::uint64_t least, most;
  } cases[] = {
      {{}, 0, 0},
      {{60}, 50'000, 100'000},
      {{60, 60, 60, 900'000}, 50'000, 100'000},
      {{10, 3000, 3000, 3000}, 2'000'000, 5'000'000},
      {{10, 10, 3000, 3000}, 20'000, 50'000},
      {{9'000'000}, 5'000'000'000, 5'000'000'000},
  };
  for (const auto& one : cases) {
    ServiceCounters counters;
    Flow flow = flow_to("cart", WEIR_EVENT_ESTABLISHED);
    for (const std::uint64_t us : one.us) {
      flow.duration_ns = us * 1000;
      counters.add(flow);
    }
    const ServiceCounts counts = counters.of({"shop", "cart"});
    EXPECT_EQ(counts.answered(), one.us.size());
    EXPECT_GE(counts.median_answer_ns(), one.least) << testing::PrintToString(one.us);
    EXPECT_LE(counts.median_answer_ns(), one.most) << testing::PrintToString(one.us);
  }
}

TEST(ServiceCounters, AreBoundedAndForgetWhatIsGone) {
  ServiceCounters counters(2);
  for (const char* service : {"a", "b", "c", "d", "a"}) {
    counters.add(flow_to(service, WEIR_EVENT_ENDED));
  }
  EXPECT_EQ(counters.services().size(), 2U);
  EXPECT_EQ(counters.of({"shop", "a"}).connections, 2U);
  EXPECT_EQ(counters.others().connections, 2U);
  counters.forget({"shop", "a"});
  counters.add(flow_to("c", WEIR_EVENT_ENDED));
  EXPECT_EQ(counters.of({"shop", "c"}).connections, 1U);
}

}  // namespace
}  // namespace weir
