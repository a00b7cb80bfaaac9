#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "model/key.h"

namespace weir {

struct Node {
  std::string name;
  std::vector<Address> addresses;  // InternalIP, in the order of the object
  std::vector<Cidr> pod_cidrs;
  std::string zone{};    // label topology.kubernetes.io/zone; empty: none
  bool leaving = false;  // is being deleted, or about to: taint ToBeDeletedByClusterAutoscaler

  ObjectKey key() const { return {"", name}; }

  friend bool operator==(const Node&, const Node&) = default;
};

}  // namespace weir
