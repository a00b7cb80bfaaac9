#include "observe/flow_recorder.h"

#include <netinet/in.h>

#include <algorithm>
#include <ranges>

namespace weir {
namespace {

constexpr std::size_t kMostNames = 16384;

FlowCounts::Proto bucket(std::uint8_t protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return FlowCounts::kTcp;
    case IPPROTO_UDP:
      return FlowCounts::kUdp;
    case IPPROTO_ICMP:
      return FlowCounts::kIcmp;
    case IPPROTO_ICMPV6:
      return FlowCounts::kIcmp6;
    case IPPROTO_SCTP:
      return FlowCounts::kSctp;
    default:
      return FlowCounts::kOther;
  }
}

}  // namespace

struct FlowRecorder::Subscriber {
  FlowFilter filter;
  Listener listener;
};

FlowRecorder::Subscription::Subscription(std::shared_ptr<Subscriber> subscriber)
    : subscriber_(std::move(subscriber)) {}

FlowRecorder::Subscription::~Subscription() = default;

std::uint64_t FlowCounts::forwarded() const {
  return by_type[WEIR_EVENT_NEW] + by_type[WEIR_EVENT_ESTABLISHED] + by_type[WEIR_EVENT_CLOSED] +
         by_type[WEIR_EVENT_ENDED];
}

FlowRecorder::FlowRecorder(NameOf name_of, std::size_t history, WallClock clock,
                           LinkNameOf link_name_of, ServiceOf service_of,
                           KernelReasonOf kernel_reason_of)
    : name_of_(std::move(name_of)),
      link_name_of_(std::move(link_name_of)),
      service_of_(std::move(service_of)),
      kernel_reason_of_(std::move(kernel_reason_of)),
      clock_(std::move(clock)),
      capacity_(history) {}

void FlowRecorder::on_event(std::span<const std::byte> event) {
  auto flow = decode_event(event);
  if (!flow) {
    ++counts_.undecodable;
    return;
  }
  flow->time_ns = clock_.wall_ns(static_cast<std::uint64_t>(flow->time_ns));
  flow->source.name = name(flow->source.address);
  flow->destination.name = name(flow->destination.address);
  if (!flow->backend.address.is_zero()) flow->backend.name = name(flow->backend.address);
  name_sender(*flow);
  if (flow->reason == WEIR_DROP_KERNEL && kernel_reason_of_) {
    flow->kernel_reason_name = kernel_reason_of_(flow->kernel_reason);
  }
  if (name_service(*flow)) services_counted_.add(*flow);
  count(*flow);
  for (const auto& weak : subscribers_) {
    const auto subscriber = weak.lock();  // holds it: a listener may end its own subscription
    if (subscriber && subscriber->filter.matches(*flow)) subscriber->listener(*flow);
  }
  record(std::move(*flow));
}

// A forged source address would name an innocent pod.
void FlowRecorder::name_sender(Flow& flow) const {
  if (flow.type != FlowType::kDropped || flow.hook != WEIR_HOOK_FROM_POD || !link_name_of_) return;
  const Name* sender = link_name_of_(flow.ifindex);
  if (sender != nullptr && *sender != *flow.source.name) {
    flow.sent_by = std::make_shared<const Name>(*sender);
  }
}

// A destination that is a pod is the backend already: the socket chose it. An id is not given again
// for a while, so a flow that ends after its Service still names it.
bool FlowRecorder::name_service(Flow& flow) {
  auto current = service_of_ ? service_of_(flow) : std::nullopt;
  if (!current && (flow.service_id == 0 || !services_.contains(flow.service_id))) return false;
  if (services_.size() >= kMostNames && current) services_.clear();
  NamedService& kept = services_[flow.service_id];
  const bool known = current.has_value();
  if (known && (!kept.service || *kept.service != *current)) {
    kept.name = std::make_shared<const Name>(Name{
        .kind = NameKind::kService, .namespace_ = current->namespace_, .service = current->name});
    kept.service = std::make_shared<const ServiceName>(std::move(*current));
  }
  flow.service = kept.service;
  if (flow.destination.name->kind != NameKind::kPod) flow.destination.name = kept.name;
  return known;
}

void FlowRecorder::count(const Flow& flow) {
  ++counts_.by_type[static_cast<std::size_t>(flow.type)];
  if (flow.type != FlowType::kDropped) return;
  const std::size_t reason = std::min<std::size_t>(flow.reason, WEIR_DROP_MAX);
  ++counts_.drops[reason][bucket(flow.protocol)];
}

void FlowRecorder::record(Flow flow) {
  if (capacity_ == 0) return;
  if (ring_.size() < capacity_) {
    ring_.push_back(std::move(flow));
    return;
  }
  ring_[next_] = std::move(flow);
  next_ = (next_ + 1) % capacity_;
}

std::shared_ptr<const Name> FlowRecorder::name(const Address& address) {
  const Name& current = name_of_(address);
  if (names_.size() >= kMostNames) names_.clear();
  auto& kept = names_[address];
  if (!kept || *kept != current) kept = std::make_shared<const Name>(current);
  return kept;
}

std::unique_ptr<FlowRecorder::Subscription> FlowRecorder::subscribe(FlowFilter filter,
                                                                    Listener listener) {
  std::erase_if(subscribers_, [](const auto& weak) { return weak.expired(); });
  auto subscriber = std::make_shared<Subscriber>(std::move(filter), std::move(listener));
  subscribers_.push_back(subscriber);
  return std::make_unique<Subscription>(std::move(subscriber));
}

void FlowRecorder::last(std::size_t count, const FlowFilter& filter,
                        const Listener& listener) const {
  std::vector<const Flow*> found;
  for (std::size_t back = 1; back <= ring_.size() && found.size() < count; ++back) {
    const Flow& flow = ring_[(next_ + ring_.size() - back) % ring_.size()];
    if (filter.matches(flow)) found.push_back(&flow);
  }
  for (const Flow* flow : found | std::views::reverse) listener(*flow);
}

}  // namespace weir
