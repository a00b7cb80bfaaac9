#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "model/host_port.h"
#include "model/key.h"

namespace weir {

enum class PodPhase : std::uint8_t { kPending, kRunning, kSucceeded, kFailed, kUnknown };

// As Kubernetes spells it: "Pending", "Running", ...
std::string_view phase_name(PodPhase phase);
std::optional<PodPhase> parse_phase(std::string_view text);

// Of the annotation weir.dev/weight: "1" to "256".
std::optional<std::uint32_t> parse_weight(std::string_view text);

// Of the annotations kubernetes.io/ingress-bandwidth and egress-bandwidth: a quantity from "1k" to
// "1P", in bits per second.
std::optional<std::uint64_t> parse_bandwidth(std::string_view text);

struct Pod {
  static constexpr std::uint32_t kMaxWeight = 256;

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
  std::vector<HostPort> host_ports;  // empty for pods on the host's network
  std::uint32_t weight = 1;  // annotation weir.dev/weight, 1 to kMaxWeight: share of connections
  std::string workload;      // the Deployment, StatefulSet, ... that owns it; empty: none known

  ObjectKey key() const { return {namespace_, name}; }
  // Succeeded and Failed pods keep their addresses in the API, but no longer own them.
  bool finished() const { return phase == PodPhase::kSucceeded || phase == PodPhase::kFailed; }

  friend bool operator==(const Pod&, const Pod&) = default;
};

}  // namespace weir
