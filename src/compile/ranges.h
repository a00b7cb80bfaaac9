#pragma once

#include <map>
#include <optional>
#include <set>

#include "base/address.h"
#include "model/node.h"

namespace weir {

// An IPv6 prefix so short that it holds the v4-mapped space, too: in a table of both families it
// would catch all of IPv4.
bool holds_mapped_space(const Cidr& cidr);
// Shorter than /8, or with all of IPv4 inside: no range of pods.
bool is_too_wide(const Cidr& cidr);

// Pod ranges and addresses of all nodes.
class NodeRanges {
 public:
  void add(const Node& node);
  void remove(const Node& node);

  // The longest pod range with the address.
  std::optional<Cidr> pod_range(const Address& address) const;
  bool is_node(const Address& address) const { return addresses_.contains(address); }
  bool empty() const { return ranges_.empty() && addresses_.empty(); }

 private:
  std::map<int, std::map<Cidr, int>> ranges_;  // by mapped bits; of how many nodes
  std::map<Address, int> addresses_;           // of how many nodes
};

}  // namespace weir
