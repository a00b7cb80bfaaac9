#pragma once

#include <set>
#include <vector>

#include "base/address.h"
#include "state/names.h"
#include "state/store.h"

namespace weir {

// Addresses that pods had and nobody has any more. Used from the thread of the store.
class GonePods {
 public:
  // Listens to the store from now on; all live until the end.
  GonePods(Store& store, const Names& names);

  // Those since the last call.
  std::vector<Address> take();

 private:
  template <typename Row>
  void change(const Row&) {}
  void change(const RowChange<Pod>& row);
  void change(const RowChange<Endpoint>& row);

  const Names& names_;
  std::set<Address> left_;  // by a pod; another may have it
};

}  // namespace weir
