#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "model/key.h"
#include "model/pod.h"

namespace weir {

// What the other nodes need to know of a pod. Named as its pod.
struct PodEndpoint {
  std::string namespace_;
  std::string name;
  std::string node;
  Labels labels;
  std::vector<Address> addresses;  // empty for pods on the host's network
  std::uint32_t weight = 1;        // as Pod::weight
  std::string workload;            // as Pod::workload
  bool leaving = false;            // another pod's claim on the addresses goes before this one's

  ObjectKey key() const { return {namespace_, name}; }

  friend bool operator==(const PodEndpoint&, const PodEndpoint&) = default;
};

// None: the others need to know nothing of it.
std::optional<PodEndpoint> pod_endpoint_of(const Pod& pod);

}  // namespace weir
