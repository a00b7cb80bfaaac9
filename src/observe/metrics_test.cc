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
  totals.kernel_drops = {{"QDISC_DROP", "", "", {9, 900}},
                         {"QDISC_DROP", "shop", "cart-0", {7, 700}}};
  totals.maps.push_back({"weir_ct", 12, 65536});
  FlowRecorder recorder(fixture::name_of);
  recorder.on_event(
      fixture::bytes(fixture::event({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED})));
  const std::string text = metrics_text(totals, recorder.counts(), recorder.services());
  for (const char* wanted : {
           "# TYPE weir_packets_total counter",
           "weir_packets_total{hook=\"from_pod\",outcome=\"in\"} 10\n",
           "weir_packets_total{hook=\"from_pod\",outcome=\"dropped\"} 3\n",
           "weir_bytes_total{hook=\"from_pod\",outcome=\"forwarded\"} 700\n",
           "weir_drops_total{hook=\"from_pod\",reason=\"SPOOFED\"} 3\n",
           "weir_drops_total{hook=\"kernel\",reason=\"QDISC_DROP\"} 9\n",
           "weir_pod_kernel_drops_total{namespace=\"shop\",pod=\"cart-0\",reason=\"QDISC_DROP\"} "
           "7\n",
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

TEST(MetricsText, ServicesThatHadTraffic) {
  const ServiceName payment{"shop", "payment", "http"};
  FlowRecorder recorder(fixture::name_of, 1, fixture::clock(), {}, [&](const Flow& flow) {
    return flow.service_id == 3 ? std::optional(payment) : std::nullopt;
  });
  weir_event raw = fixture::service_event({.type = WEIR_EVENT_ESTABLISHED});
  raw.duration_ns = 300'000;
  recorder.on_event(fixture::bytes(raw));
  raw.type = WEIR_EVENT_ENDED;
  raw.flags = WEIR_EVENT_REPLIED;
  raw.bytes[1] = 4096;
  recorder.on_event(fixture::bytes(raw));
  Totals totals;
  totals.health.healthz_503 = 2;
  const std::string text = metrics_text(totals, recorder.counts(), recorder.services());
  const std::string of = "{namespace=\"shop\",service=\"payment\"";
  for (const std::string& wanted : {
           "weir_service_connections_total" + of + ",answered=\"true\"} 1\n",
           "weir_service_bytes_total" + of + ",direction=\"out\"} 4096\n",
           "weir_service_answer_seconds_count" + of + "} 1\n",
           "weir_service_answer_seconds_sum" + of + "} 0.0003",
           "weir_service_answer_seconds_bucket" + of + ",le=\"0.0001\"} 0\n",
           "weir_service_answer_seconds_bucket" + of + ",le=\"0.0005\"} 1\n",
           "weir_service_answer_seconds_bucket" + of + ",le=\"+Inf\"} 1\n",
           std::string("kubeproxy_proxy_healthz_total{code=\"503\"} 2\n"),
       }) {
    EXPECT_THAT(text, HasSubstr(wanted));
  }
}

}  // namespace
}  // namespace weir
