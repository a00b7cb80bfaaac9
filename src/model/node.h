#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "model/key.h"

namespace weir {

// Key of the taint that keeps pods from a node until its agent serves.
inline constexpr const char* kNotReadyTaint = "node.weir.dev/agent-not-ready";

struct Node {
  std::string name;
  std::vector<Address> addresses;  // InternalIP, in the order of the object
  std::vector<Cidr> pod_cidrs;
  std::string zone{};    // label topology.kubernetes.io/zone; empty: none
  bool leaving = false;  // is being deleted, or about to: taint ToBeDeletedByClusterAutoscaler

  bool awaits_agent = false;  // has the taint kNotReadyTaint

  ObjectKey key() const { return {"", name}; }

  friend bool operator==(const Node&, const Node&) = default;
};

}  // namespace weir
