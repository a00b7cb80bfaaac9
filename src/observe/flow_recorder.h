#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "observe/flow.h"
#include "observe/flow_filter.h"
#include "observe/service_counters.h"
#include "observe/wall_clock.h"

namespace weir {

// What was seen since the start. Bounded: no label comes from a packet's content.
struct FlowCounts {
  enum Proto { kTcp, kUdp, kIcmp, kIcmp6, kSctp, kOther, kProtos };

  std::array<std::uint64_t, WEIR_EVENTS> by_type{};  // enum weir_event_type
  std::array<std::array<std::uint64_t, kProtos>, WEIR_DROP_MAX + 1> drops{};
  std::uint64_t undecodable = 0;

  std::uint64_t forwarded() const;
  std::uint64_t dropped() const { return by_type[WEIR_EVENT_DROP]; }
};

// Events -> flows with names: remembers the last ones, hands them to subscribers, counts.
// Used from one thread.
class FlowRecorder {
 public:
  using Listener = std::function<void(const Flow&)>;
  using NameOf = std::function<const Name&(const Address&)>;
  // Of the pod at the other end of a link of this node; null: no pod's.
  using LinkNameOf = std::function<const Name*(std::uint32_t ifindex)>;
  // The Service port that the flow's source addressed, by service_id or destination.
  using ServiceOf = std::function<std::optional<ServiceName>(const Flow&)>;
  // Of Flow::kernel_reason.
  using KernelReasonOf = std::function<std::string(std::uint32_t)>;
  static constexpr std::size_t kHistory = 8192;

  explicit FlowRecorder(NameOf name_of, std::size_t history = kHistory, WallClock clock = {},
                        LinkNameOf link_name_of = {}, ServiceOf service_of = {},
                        KernelReasonOf kernel_reason_of = {});
  FlowRecorder(const FlowRecorder&) = delete;
  FlowRecorder& operator=(const FlowRecorder&) = delete;

  // One element of the ring buffer weir_events, or of the sweep's iterator: struct weir_event.
  void on_event(std::span<const std::byte> event);

  // Ends when destroyed; may outlive the recorder. A listener may end any subscription, its own
  // too, but must not subscribe.
  class Subscription;
  [[nodiscard]] std::unique_ptr<Subscription> subscribe(FlowFilter filter, Listener listener);

  // The newest `count` remembered flows that match, oldest first.
  void last(std::size_t count, const FlowFilter& filter, const Listener& listener) const;

  const FlowCounts& counts() const { return counts_; }
  ServiceCounters& services() { return services_counted_; }
  std::shared_ptr<const Name> name(const Address& address);

 private:
  struct Subscriber;
  void record(Flow flow);
  void count(const Flow& flow);
  void name_sender(Flow& flow) const;
  // False: nobody knows such a Service any more.
  bool name_service(Flow& flow);

  NameOf name_of_;
  LinkNameOf link_name_of_;
  ServiceOf service_of_;
  KernelReasonOf kernel_reason_of_;
  WallClock clock_;
  std::vector<Flow> ring_;
  std::size_t capacity_;
  std::size_t next_ = 0;  // slot of the next flow once the ring is full
  std::unordered_map<Address, std::shared_ptr<const Name>> names_;
  struct NamedService {
    std::shared_ptr<const ServiceName> service;
    std::shared_ptr<const Name> name;  // the same as an end
  };
  std::unordered_map<std::uint32_t, NamedService> services_;  // by service_id
  std::vector<std::weak_ptr<Subscriber>> subscribers_;
  FlowCounts counts_;
  ServiceCounters services_counted_;
};

class FlowRecorder::Subscription {
 public:
  explicit Subscription(std::shared_ptr<Subscriber> subscriber);
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

 private:
  std::shared_ptr<Subscriber> subscriber_;
};

}  // namespace weir
