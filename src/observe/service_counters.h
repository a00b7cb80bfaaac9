#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

#include "model/key.h"
#include "observe/flow.h"

namespace weir {

// What went through one Service since the start. Totals are of connections that are over: those
// come from the sweep, which loses none. Times to the first answer and drops come from events.
struct ServiceCounts {
  // Upper ends of the classes of answer times; the last class has none.
  static constexpr std::array<std::uint64_t, 16> kAnswerNs = {
      50'000,      100'000,       200'000,       500'000,      1'000'000,   2'000'000,
      5'000'000,   10'000'000,    20'000'000,    50'000'000,   100'000'000, 200'000'000,
      500'000'000, 1'000'000'000, 2'000'000'000, 5'000'000'000};

  std::uint64_t connections = 0;
  std::uint64_t unanswered = 0;            // of them
  std::array<std::uint64_t, 2> packets{};  // [0] from the clients, [1] from the backends
  std::array<std::uint64_t, 2> bytes{};
  std::uint64_t drops = 0;
  std::array<std::uint64_t, kAnswerNs.size() + 1> answers{};
  std::uint64_t answers_ns = 0;  // sum

  std::uint64_t answered() const;
  // Half of the answers came sooner; 0: there was none. Within a class it is interpolated.
  std::uint64_t median_answer_ns() const;
};

// Services that had traffic; bounded. Used from one thread.
class ServiceCounters {
 public:
  static constexpr std::size_t kMost = 1000;  // beyond: counted as others()

  explicit ServiceCounters(std::size_t most = kMost) : most_(most) {}

  // A flow that addressed no Service does not count, nor one that another node has translated
  // (service_id 0): that one counts it.
  void add(const Flow& flow);
  // The Service is no more.
  void forget(const ObjectKey& service) { services_.erase(service); }

  const std::map<ObjectKey, ServiceCounts>& services() const { return services_; }
  const ServiceCounts& others() const { return others_; }
  // Zeros for one without traffic.
  ServiceCounts of(const ObjectKey& service) const;

 private:
  ServiceCounts& counts_of(const ServiceName& service);

  std::size_t most_;
  std::map<ObjectKey, ServiceCounts> services_;
  ServiceCounts others_;
};

}  // namespace weir
