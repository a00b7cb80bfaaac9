#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/object.h"

namespace weir {

// Of this node's pods all is kept, of others what is needed of them: their PodEndpoints. Comes
// between the source of objects and the store.
class PodSplit {
 public:
  // whole_pods: the source tells of all nodes' Pods, and of no PodEndpoints.
  PodSplit(std::string node, bool whole_pods) : node_(std::move(node)), whole_pods_(whole_pods) {}

  // What the store is to be told in place of this change.
  std::vector<Change> take(Change change) const;

 private:
  std::vector<Change> take_pod(Pod pod) const;

  std::string node_;
  bool whole_pods_;
};

}  // namespace weir
