#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "state/store.h"

namespace weir {

// Services that stand in for another one on their own node (Service::node_local_for): their ready
// backends of this node become backends of that Service, too, and go before its others. Comes
// between the source of objects and the store, whose rows it reads.
class NodeLocal {
 public:
  NodeLocal(const Store& store, std::string node) : store_(store), node_(std::move(node)) {}

  // What the store is to be told in place of this change.
  std::vector<Change> take(Change change);

 private:
  using Changes = std::vector<Change>;

  Changes take_service(Service service);
  Changes take_slice(EndpointSlice slice);
  Changes erase_service(const ObjectKey& key);
  Changes erase_slice(const ObjectKey& key);
  void set_target(const ObjectKey& server, const ObjectKey* target, Changes& out);
  void put_copy(const EndpointSlice& slice, Changes& out);
  void erase_copy(const ObjectKey& slice, Changes& out);
  void tell_target(const ObjectKey& target, Changes& out);
  bool is_target(const ObjectKey& key) const;

  const Store& store_;
  std::string node_;
  std::map<ObjectKey, ObjectKey> targets_;  // by the Service that stands in
  std::set<ObjectKey> own_first_;           // targets that want their own node's backends anyway
  std::set<ObjectKey> copies_;              // slices of which there is a copy
};

}  // namespace weir
