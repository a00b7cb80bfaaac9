#include "observe/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "observe/flow_fixture.h"

namespace weir {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsText, TellsTotalsDropsLossAndFill) {
  Totals totals;
  totals.metrics[WEIR_METRIC_INDEX(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_IN)] = {10, 1000};
  totals.metrics[WEIR_METRIC_INDEX(WEIR_HOOK_FROM_POD, WEIR_OUTCOME_FORWARD)] = {7, 700};
  totals.metrics[WEIR_METRIC_INDEX(WEIR_HOOK_FROM_POD,
                                   WEIR_OUTCOME_DROP + int{WEIR_DROP_SPOOFED})] = {3, 300};
  totals.lost[WEIR_EVENT_NEW] = 5;
  totals.maps.push_back({"weir_ct", 12, 65536});
  FlowRecorder recorder(fixture::name_of);
  recorder.on_event(
      fixture::bytes(fixture::event({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED})));
  const std::string text = metrics_text(totals, recorder.counts());
  for (const char* wanted : {
           "# TYPE weir_packets_total counter",
           "weir_packets_total{hook=\"from_pod\",outcome=\"in\"} 10\n",
           "weir_packets_total{hook=\"from_pod\",outcome=\"dropped\"} 3\n",
           "weir_bytes_total{hook=\"from_pod\",outcome=\"forwarded\"} 700\n",
           "weir_drops_total{hook=\"from_pod\",reason=\"SPOOFED\"} 3\n",
           "weir_events_lost_total{type=\"new\"} 5\n",
           "weir_map_entries{map=\"weir_ct\"} 12\n",
           "weir_map_capacity{map=\"weir_ct\"} 65536\n",
           "hubble_drop_total{protocol=\"TCP\",reason=\"SPOOFED\"} 1\n",
           "hubble_flows_processed_total{type=\"Drop\",verdict=\"DROPPED\"} 1\n",
       }) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
  EXPECT_THAT(text, Not(HasSubstr("NO_ROUTE")));
}

}  // namespace
}  // namespace weir
