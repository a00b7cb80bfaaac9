#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/endpoint.h"
#include "model/object.h"
#include "state/packed_table.h"

namespace weir {

// Everything the node knows and wants, as plain tables in key order.
struct Snapshot {
  std::map<ObjectKey, Node> nodes;
  std::map<ObjectKey, Namespace> namespaces;
  std::map<ObjectKey, Pod> pods;  // of this node
  PackedTable<Service> services;
  PackedTable<EndpointSlice> slices;
  PackedTable<PodEndpoint> pod_endpoints;       // of other nodes
  std::map<std::uint32_t, Endpoint> endpoints;  // by handle

  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// One row that changed; null: there was, or is, none. `before` and `after` are good during the
// call; a Pod's `after` stays where it is, whatever is written there, until it is erased and is the
// `before` of that change. So does the `row` of those
// that are kept packed.
template <typename T>
struct RowChange {
  const T* before = nullptr;
  const T* after = nullptr;
  const PackedRow<T>* row = nullptr;  // of packed tables only
};
using StoreChange =
    std::variant<RowChange<Node>, RowChange<Namespace>, RowChange<Pod>, RowChange<Service>,
                 RowChange<EndpointSlice>, RowChange<PodEndpoint>, RowChange<Endpoint>>;

// The tables of desired state. Used from one thread.
class Store {
 public:
  using Listener = std::function<void(const StoreChange&)>;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Each returns whether something changed; an equal value changes nothing.
  bool apply(Change change);
  bool upsert(Object object);
  bool erase(Kind kind, const ObjectKey& key);
  bool upsert(Endpoint endpoint);
  bool erase_endpoint(std::uint32_t handle);

  const Snapshot& snapshot() const { return snapshot_; }
  // Grows by one with each change.
  std::uint64_t revision() const { return revision_; }
  // Called after each change, in the order of listening. A listener must not change the store.
  void listen(Listener listener) { listeners_.push_back(std::move(listener)); }

 private:
  template <typename Map>
  bool put(Map& map, const typename Map::key_type& key, typename Map::mapped_type value);
  template <typename Map>
  bool remove(Map& map, const typename Map::key_type& key);
  template <typename T>
  bool put(PackedTable<T>& table, const ObjectKey& key, const T& value);
  template <typename T>
  bool remove(PackedTable<T>& table, const ObjectKey& key);
  void changed(const StoreChange& change);

  Snapshot snapshot_;
  std::uint64_t revision_ = 0;
  std::vector<Listener> listeners_;
};

}  // namespace weir
