// Kernel totals and flow counts -> Prometheus families.

#include "observe/metrics.h"

#include <fmt/format.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <utility>
#include <vector>

namespace weir {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

constexpr std::string_view kOutcomes[] = {"in", "forwarded", "to_stack"};
constexpr std::string_view kHubbleProtocols[] = {"TCP", "UDP", "ICMPv4", "ICMPv6", "SCTP", "other"};
static_assert(std::size(kHubbleProtocols) == FlowCounts::kProtos);

MetricFamily family(const char* name, const char* help, MetricType type) {
  MetricFamily made;
  made.name = name;
  made.help = help;
  made.type = type;
  return made;
}

void add(MetricFamily& family, std::uint64_t value, Labels labels) {
  ClientMetric metric;
  metric.label = std::move(labels);
  const auto number = static_cast<double>(value);
  if (family.type == MetricType::Counter) {
    metric.counter.value = number;
  } else {
    metric.gauge.value = number;
  }
  family.metric.push_back(std::move(metric));
}

const weir_metric& metric_of(const Totals& totals, std::uint8_t hook, std::size_t outcome) {
  return totals.metrics[WEIR_METRIC_INDEX(std::size_t{hook}, outcome)];
}

weir_metric drops_of(const Totals& totals, std::uint8_t hook) {
  weir_metric sum{};
  for (std::size_t reason = 0; reason <= WEIR_DROP_MAX; ++reason) {
    const weir_metric& one = metric_of(totals, hook, WEIR_OUTCOME_DROP + reason);
    sum.packets += one.packets;
    sum.bytes += one.bytes;
  }
  return sum;
}

void add_outcomes(std::vector<MetricFamily>& out, const Totals& totals) {
  auto packets =
      family("weir_packets_total", "Packets by hook and what became of them.", MetricType::Counter);
  auto bytes =
      family("weir_bytes_total", "Bytes by hook and what became of them.", MetricType::Counter);
  const auto both = [&](std::uint8_t hook, std::string_view outcome, const weir_metric& metric) {
    const Labels labels{{"hook", std::string(hook_name(hook))}, {"outcome", std::string(outcome)}};
    add(packets, metric.packets, labels);
    add(bytes, metric.bytes, labels);
  };
  for (std::uint8_t hook = 0; hook < WEIR_HOOKS; ++hook) {
    for (std::size_t i = 0; i < std::size(kOutcomes); ++i) {
      both(hook, kOutcomes[i], metric_of(totals, hook, i));
    }
    both(hook, "dropped", drops_of(totals, hook));
  }
  out.push_back(std::move(packets));
  out.push_back(std::move(bytes));
}

// Reasons that never were are left out; each appears once it was, and stays.
void add_drops(std::vector<MetricFamily>& out, const Totals& totals, const FlowCounts& counts) {
  auto drops =
      family("weir_drops_total", "Dropped packets by hook and reason.", MetricType::Counter);
  auto hubble =
      family("hubble_drop_total", "Drop events by reason and protocol.", MetricType::Counter);
  for (std::size_t number = 0; number <= WEIR_DROP_MAX; ++number) {
    const auto reason = static_cast<std::uint8_t>(number);
    for (std::uint8_t hook = 0; hook < WEIR_HOOKS; ++hook) {
      const auto packets = metric_of(totals, hook, WEIR_OUTCOME_DROP + number).packets;
      if (packets == 0) continue;
      add(drops, packets,
          {{"hook", std::string(hook_name(hook))}, {"reason", std::string(drop_name(reason))}});
    }
    for (std::size_t proto = 0; proto < FlowCounts::kProtos; ++proto) {
      const auto events = counts.drops[number][proto];
      if (events == 0) continue;
      add(hubble, events,
          {{"protocol", std::string(kHubbleProtocols[proto])},
           {"reason", std::string(drop_name(reason))}});
    }
  }
  auto by_pod = family("weir_pod_kernel_drops_total",
                       "Packets of a pod of this node that the kernel dropped, by its reason.",
                       MetricType::Counter);
  for (const KernelDropTotal& one : totals.kernel_drops) {
    if (one.pod.empty()) {
      add(drops, one.count.packets,
          {{"hook", std::string(hook_name(WEIR_HOOK_KERNEL))}, {"reason", one.reason}});
    } else {
      add(by_pod, one.count.packets,
          {{"namespace", one.namespace_}, {"pod", one.pod}, {"reason", one.reason}});
    }
  }
  out.push_back(std::move(drops));
  out.push_back(std::move(by_pod));
  out.push_back(std::move(hubble));
}

void add_events(std::vector<MetricFamily>& out, const Totals& totals, const FlowCounts& counts) {
  auto seen = family("weir_events_total", "Events by type.", MetricType::Counter);
  auto lost = family("weir_events_lost_total", "Events that found the ring buffer full, by type.",
                     MetricType::Counter);
  for (const FlowType type : kFlowTypes) {
    const std::string name(flow_type_name(type));
    add(seen, counts.by_type[static_cast<std::size_t>(type)], {{"type", name}});
    add(lost, totals.lost[static_cast<std::size_t>(type)], {{"type", name}});
  }
  auto flows = family("hubble_flows_processed_total", "Flow events by type and verdict.",
                      MetricType::Counter);
  add(flows, counts.forwarded(), {{"type", "Trace"}, {"verdict", "FORWARDED"}});
  add(flows, counts.dropped(), {{"type", "Drop"}, {"verdict", "DROPPED"}});
  out.push_back(std::move(seen));
  out.push_back(std::move(lost));
  out.push_back(std::move(flows));
}

void add_maps(std::vector<MetricFamily>& out, const Totals& totals) {
  auto entries = family("weir_map_entries", "Entries of a kernel table.", MetricType::Gauge);
  auto capacity = family("weir_map_capacity", "Most entries of a kernel table.", MetricType::Gauge);
  for (const MapFill& map : totals.maps) {
    add(entries, map.entries, {{"map", map.name}});
    add(capacity, map.capacity, {{"map", map.name}});
  }
  out.push_back(std::move(entries));
  out.push_back(std::move(capacity));
}

Labels labels_of(const ObjectKey& service) {
  return {{"namespace", service.namespace_}, {"service", service.name}};
}

// The classes that are told: each third one is left out.
ClientMetric answers_of(const ServiceCounts& counts, const ObjectKey& service) {
  ClientMetric metric;
  metric.label = labels_of(service);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < ServiceCounts::kAnswerNs.size(); ++i) {
    below += counts.answers[i];
    const bool left_out = i % 3 == 2;
    if (left_out) continue;
    metric.histogram.bucket.push_back(
        {below, static_cast<double>(ServiceCounts::kAnswerNs[i]) / 1e9});
  }
  metric.histogram.sample_count = counts.answered();
  metric.histogram.sample_sum = static_cast<double>(counts.answers_ns) / 1e9;
  metric.histogram.bucket.push_back(
      {metric.histogram.sample_count, std::numeric_limits<double>::infinity()});
  return metric;
}

// Only Services that had traffic; the many beyond the bound are one without a name.
void add_services(std::vector<MetricFamily>& out, const ServiceCounters& counters) {
  auto connections = family("weir_service_connections_total",
                            "Connections to a Service that are over.", MetricType::Counter);
  auto packets =
      family("weir_service_packets_total", "Their packets by direction.", MetricType::Counter);
  auto bytes = family("weir_service_bytes_total", "Their bytes by direction.", MetricType::Counter);
  auto drops = family("weir_service_drops_total", "Drop events of packets to a Service.",
                      MetricType::Counter);
  auto answers = family("weir_service_answer_seconds", "Time to a backend's first packet.",
                        MetricType::Histogram);
  const auto tell = [&](const ObjectKey& service, const ServiceCounts& counts) {
    const auto with = [&](const char* name, const char* value) {
      Labels labels = labels_of(service);
      labels.push_back({name, value});
      return labels;
    };
    add(connections, counts.connections - counts.unanswered, with("answered", "true"));
    add(connections, counts.unanswered, with("answered", "false"));
    for (const std::size_t side : {0U, 1U}) {
      add(packets, counts.packets[side], with("direction", side == 0 ? "in" : "out"));
      add(bytes, counts.bytes[side], with("direction", side == 0 ? "in" : "out"));
    }
    add(drops, counts.drops, labels_of(service));
    answers.metric.push_back(answers_of(counts, service));
  };
  for (const auto& [service, counts] : counters.services()) tell(service, counts);
  if (counters.others().connections + counters.others().drops > 0) {
    tell(ObjectKey{}, counters.others());
  }
  for (auto* one : {&connections, &packets, &bytes, &drops, &answers}) {
    out.push_back(std::move(*one));
  }
}

// kube-proxy's own names.
void add_health(std::vector<MetricFamily>& out, const HealthAnswers& health) {
  auto healthz =
      family("kubeproxy_proxy_healthz_total", "Answers of /healthz by code.", MetricType::Counter);
  auto livez =
      family("kubeproxy_proxy_livez_total", "Answers of /livez by code.", MetricType::Counter);
  add(healthz, health.healthz_200, {{"code", "200"}});
  add(healthz, health.healthz_503, {{"code", "503"}});
  add(livez, health.livez_200, {{"code", "200"}});
  add(livez, health.livez_503, {{"code", "503"}});
  out.push_back(std::move(healthz));
  out.push_back(std::move(livez));
}

class Families : public prometheus::Collectable {
 public:
  Families(const Totals& totals, const FlowCounts& counts, const ServiceCounters& services)
      : totals_(totals), counts_(counts), services_(services) {}

  std::vector<MetricFamily> Collect() const override {
    std::vector<MetricFamily> out;
    add_outcomes(out, totals_);
    add_drops(out, totals_, counts_);
    add_events(out, totals_, counts_);
    add_maps(out, totals_);
    add_services(out, services_);
    add_health(out, totals_.health);
    std::erase_if(out, [](const MetricFamily& one) { return one.metric.empty(); });
    return out;
  }

 private:
  const Totals& totals_;
  const FlowCounts& counts_;
  const ServiceCounters& services_;
};

}  // namespace

std::string metrics_text(const Totals& totals, const FlowCounts& counts,
                         const ServiceCounters& services) {
  return prometheus::TextSerializer().Serialize(Families(totals, counts, services).Collect());
}

}  // namespace weir
