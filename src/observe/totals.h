#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "abi/event.h"
#include "abi/metrics.h"

namespace weir {

struct MapFill {
  std::string name;
  std::uint64_t entries = 0;
  std::uint64_t capacity = 0;
};

// Answers of the node's health check server, by code.
struct HealthAnswers {
  std::uint64_t healthz_200 = 0;
  std::uint64_t healthz_503 = 0;
  std::uint64_t livez_200 = 0;
  std::uint64_t livez_503 = 0;
};

// What the kernel itself has dropped.
struct KernelDropTotal {
  std::string reason;      // as the kernel calls it
  std::string namespace_;  // of the pod
  std::string pod;         // empty: of all, of those that are gone, too
  weir_metric count{};
};

// What the kernel counted, summed over CPUs, and the agent.
struct Totals {
  std::array<weir_metric, WEIR_METRICS> metrics{};  // WEIR_METRIC_INDEX(hook, outcome)
  std::array<std::uint64_t, WEIR_EVENTS> lost{};    // by enum weir_event_type
  std::vector<KernelDropTotal> kernel_drops;
  std::vector<MapFill> maps;
  HealthAnswers health;
};

}  // namespace weir
