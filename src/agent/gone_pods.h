#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "state/names.h"
#include "state/store.h"

namespace weir {

// Addresses that pods and other nodes had and nobody has any more; a pod is gone with its node.
// Used from the thread of the store.
class GonePods {
 public:
  // Listens to the store from now on; all live until the end. node: this one.
  GonePods(Store& store, const Names& names, const std::string& node);

  // Those since the last call.
  std::vector<Address> take();

 private:
  template <typename Row>
  void change(const Row&) {}
  void change(const RowChange<Node>& row);
  void change(const RowChange<Pod>& row);
  void change(const RowChange<PodEndpoint>& row);
  void change(const RowChange<Endpoint>& row);

  bool is_gone(const Address& address) const;

  const Store& store_;
  const Names& names_;
  const std::string& node_;
  std::set<Address> left_;  // by a pod or node; another may have it
  std::set<std::string> left_nodes_;
};

}  // namespace weir
