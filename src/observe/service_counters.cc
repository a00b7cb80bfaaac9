#include "observe/service_counters.h"

#include <algorithm>
#include <numeric>

namespace weir {
namespace {

constexpr auto& kEnds = ServiceCounts::kAnswerNs;

void add_answer(ServiceCounts& counts, std::uint64_t ns) {
  const auto end = std::ranges::lower_bound(kEnds, ns);
  ++counts.answers[static_cast<std::size_t>(end - kEnds.begin())];
  counts.answers_ns += ns;
}

void add_total(ServiceCounts& counts, const Flow& flow) {
  ++counts.connections;
  counts.unanswered += flow.replied ? 0 : 1;
  for (const std::size_t side : {0U, 1U}) {
    counts.packets[side] += flow.packets[side];
    counts.bytes[side] += flow.bytes[side];
  }
}

}  // namespace

std::uint64_t ServiceCounts::answered() const {
  return std::accumulate(answers.begin(), answers.end(), std::uint64_t{0});
}

std::uint64_t ServiceCounts::median_answer_ns() const {
  const std::uint64_t all = answered();
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < kEnds.size(); ++i) {
    if (answers[i] > 0 && 2 * (before + answers[i]) >= all) {
      const std::uint64_t low = i == 0 ? 0 : kEnds[i - 1];
      const double part = (static_cast<double>(all) / 2 - static_cast<double>(before)) /
                          static_cast<double>(answers[i]);
      return low + static_cast<std::uint64_t>(part * static_cast<double>(kEnds[i] - low));
    }
    before += answers[i];
  }
  return all == 0 ? 0 : kEnds.back();
}

void ServiceCounters::add(const Flow& flow) {
  if (!flow.service || (flow.service_id == 0 && flow.type != FlowType::kDropped)) return;
  ServiceCounts& counts = counts_of(*flow.service);
  switch (flow.type) {
    case FlowType::kEstablished:
      return add_answer(counts, flow.duration_ns);
    case FlowType::kEnded:
      return add_total(counts, flow);
    case FlowType::kDropped:
      ++counts.drops;
      return;
    case FlowType::kNew:
    case FlowType::kClosed:
      return;
  }
}

ServiceCounts ServiceCounters::of(const ObjectKey& service) const {
  const auto found = services_.find(service);
  return found == services_.end() ? ServiceCounts() : found->second;
}

ServiceCounts& ServiceCounters::counts_of(const ServiceName& service) {
  ObjectKey key{service.namespace_, service.name};
  const auto found = services_.find(key);
  if (found != services_.end()) return found->second;
  return services_.size() < most_ ? services_[std::move(key)] : others_;
}

}  // namespace weir
