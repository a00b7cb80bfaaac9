#include "state/store.h"

namespace weir {
namespace {

// The table of a kind of object, by the type of its rows.
std::map<ObjectKey, Node>& table(Snapshot& s, const Node*) { return s.nodes; }
std::map<ObjectKey, Namespace>& table(Snapshot& s, const Namespace*) { return s.namespaces; }
std::map<ObjectKey, Pod>& table(Snapshot& s, const Pod*) { return s.pods; }
PackedTable<Service>& table(Snapshot& s, const Service*) { return s.services; }
PackedTable<EndpointSlice>& table(Snapshot& s, const EndpointSlice*) { return s.slices; }
PackedTable<PodEndpoint>& table(Snapshot& s, const PodEndpoint*) { return s.pod_endpoints; }

}  // namespace

template <typename Map>
bool Store::put(Map& map, const typename Map::key_type& key, typename Map::mapped_type value) {
  using Row = typename Map::mapped_type;
  const auto [it, is_new] = map.try_emplace(key);
  if (!is_new && it->second == value) return false;
  const Row before = std::exchange(it->second, std::move(value));
  changed(RowChange<Row>{is_new ? nullptr : &before, &it->second});
  return true;
}

template <typename Map>
bool Store::remove(Map& map, const typename Map::key_type& key) {
  const auto row = map.extract(key);
  if (row.empty()) return false;
  changed(RowChange<typename Map::mapped_type>{&row.mapped(), nullptr});
  return true;
}

template <typename T>
bool Store::put(PackedTable<T>& table, const ObjectKey& key, const T& value) {
  PackedRow<T> packed(value);
  const auto row = table.lower_bound(key);
  if (row == table.end() || row->key() != packed.key()) {
    const auto added = table.emplace_hint(row, std::move(packed));
    changed(RowChange<T>{nullptr, &value, &*added});
    return true;
  }
  if (*row == packed) return false;
  const T before = row->unpack();
  row->replace(std::move(packed));
  changed(RowChange<T>{&before, &value, &*row});
  return true;
}

template <typename T>
bool Store::remove(PackedTable<T>& table, const ObjectKey& key) {
  const auto found = table.find(key);
  if (found == table.end()) return false;
  const auto row = table.extract(found);
  const T before = row.value().unpack();
  changed(RowChange<T>{&before, nullptr, &row.value()});
  return true;
}

void Store::changed(const StoreChange& change) {
  ++revision_;
  for (const auto& listener : listeners_) listener(change);
}

bool Store::apply(Change change) {
  if (auto* upsert_of = std::get_if<Upsert>(&change)) return upsert(std::move(upsert_of->object));
  const auto& erased = std::get<Erase>(change);
  return erase(erased.kind, erased.key);
}

bool Store::upsert(Object object) {
  return std::visit(
      [this](auto& value) {
        const ObjectKey key = value.key();
        auto& rows = table(snapshot_, &value);
        return put(rows, key, std::move(value));
      },
      object);
}

bool Store::erase(Kind kind, const ObjectKey& key) {
  switch (kind) {
    case Kind::kNode:
      return remove(snapshot_.nodes, key);
    case Kind::kNamespace:
      return remove(snapshot_.namespaces, key);
    case Kind::kPod:
      return remove(snapshot_.pods, key);
    case Kind::kService:
      return remove(snapshot_.services, key);
    case Kind::kEndpointSlice:
      return remove(snapshot_.slices, key);
    case Kind::kPodEndpoint:
      return remove(snapshot_.pod_endpoints, key);
  }
  return false;
}

bool Store::upsert(Endpoint endpoint) {
  const std::uint32_t handle = endpoint.handle;
  return put(snapshot_.endpoints, handle, std::move(endpoint));
}

bool Store::erase_endpoint(std::uint32_t handle) { return remove(snapshot_.endpoints, handle); }

}  // namespace weir
