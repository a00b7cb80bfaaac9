#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "model/key.h"

namespace weir {

enum class PodPhase : std::uint8_t { kPending, kRunning, kSucceeded, kFailed, kUnknown };

// As Kubernetes spells it: "Pending", "Running", ...
std::string_view phase_name(PodPhase phase);
std::optional<PodPhase> parse_phase(std::string_view text);

struct Pod {
  std::string namespace_;
  std::string name;
  std::string uid;
  std::string node;  // empty: not scheduled
  Labels labels;
  std::vector<Address> addresses;
  PodPhase phase = PodPhase::kPending;
  bool ready = false;
  bool host_network = false;  // addresses are the node's
  bool terminating = false;
  std::string workload;  // the Deployment, StatefulSet, ... that owns it; empty: none known

  ObjectKey key() const { return {namespace_, name}; }
  // Succeeded and Failed pods keep their addresses in the API, but no longer own them.
  bool finished() const { return phase == PodPhase::kSucceeded || phase == PodPhase::kFailed; }

  friend bool operator==(const Pod&, const Pod&) = default;
};

}  // namespace weir
