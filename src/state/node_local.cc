#include "state/node_local.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

ObjectKey copy_key(const ObjectKey& slice) {
  return {slice.namespace_, "weir-node-local." + slice.name};
}

}  // namespace

bool NodeLocal::is_target(const ObjectKey& key) const {
  return std::ranges::any_of(targets_, [&key](const auto& one) { return one.second == key; });
}

std::vector<Change> NodeLocal::take(Change change) {
  if (auto* upsert = std::get_if<Upsert>(&change)) {
    if (auto* service = std::get_if<Service>(&upsert->object)) {
      return take_service(std::move(*service));
    }
    if (auto* slice = std::get_if<EndpointSlice>(&upsert->object); slice && !targets_.empty()) {
      return take_slice(std::move(*slice));
    }
  } else {
    const auto& erase = std::get<Erase>(change);
    if (erase.kind == Kind::kService) return erase_service(erase.key);
    if (erase.kind == Kind::kEndpointSlice && !copies_.empty()) return erase_slice(erase.key);
  }
  return {std::move(change)};
}

NodeLocal::Changes NodeLocal::take_service(Service service) {
  const ObjectKey key = service.key();
  const ObjectKey target{key.namespace_, std::exchange(service.node_local_for, {})};
  if (service.own_node_first) {
    own_first_.insert(key);
  } else {
    own_first_.erase(key);
  }
  service.own_node_first |= is_target(key);
  Changes out = {Upsert{std::move(service)}};
  set_target(key, target.name.empty() || target == key ? nullptr : &target, out);
  return out;
}

NodeLocal::Changes NodeLocal::erase_service(const ObjectKey& key) {
  own_first_.erase(key);
  Changes out = {Erase{Kind::kService, key}};
  set_target(key, nullptr, out);
  return out;
}

void NodeLocal::set_target(const ObjectKey& server, const ObjectKey* target, Changes& out) {
  const auto old = targets_.find(server);
  if (old == targets_.end() ? target == nullptr : target != nullptr && old->second == *target) {
    return;
  }
  std::vector<EndpointSlice> slices;
  for (const auto& row : store_.snapshot().slices) {
    if (row.key().first != server.namespace_) continue;
    EndpointSlice slice = row.unpack();
    if (slice.service_key() == server) slices.push_back(std::move(slice));
  }
  if (old != targets_.end()) {
    const ObjectKey former = old->second;
    targets_.erase(old);
    for (const EndpointSlice& slice : slices) erase_copy(slice.key(), out);
    tell_target(former, out);
  }
  if (target == nullptr) return;
  targets_[server] = *target;
  for (const EndpointSlice& slice : slices) put_copy(slice, out);
  tell_target(*target, out);
}

// With its mark as it is now.
void NodeLocal::tell_target(const ObjectKey& target, Changes& out) {
  const auto row = store_.snapshot().services.find(target);
  if (row == store_.snapshot().services.end()) return;
  Service service = row->unpack();
  service.own_node_first = own_first_.contains(target) || is_target(target);
  out.emplace_back(Upsert{std::move(service)});
}

NodeLocal::Changes NodeLocal::take_slice(EndpointSlice slice) {
  Changes out;
  if (targets_.contains(slice.service_key())) {
    put_copy(slice, out);
  } else {
    erase_copy(slice.key(), out);
  }
  out.emplace(out.begin(), Upsert{std::move(slice)});
  return out;
}

NodeLocal::Changes NodeLocal::erase_slice(const ObjectKey& key) {
  Changes out = {Erase{Kind::kEndpointSlice, key}};
  erase_copy(key, out);
  return out;
}

void NodeLocal::put_copy(const EndpointSlice& slice, Changes& out) {
  EndpointSlice copy = slice;
  copy.name = copy_key(slice.key()).name;
  copy.service = targets_.at(slice.service_key()).name;
  std::erase_if(copy.endpoints,
                [this](const SliceEndpoint& one) { return one.node != node_ || !one.ready; });
  if (copy.endpoints.empty()) return erase_copy(slice.key(), out);
  copies_.insert(slice.key());
  out.emplace_back(Upsert{std::move(copy)});
}

void NodeLocal::erase_copy(const ObjectKey& slice, Changes& out) {
  if (copies_.erase(slice) > 0) out.emplace_back(Erase{Kind::kEndpointSlice, copy_key(slice)});
}

}  // namespace weir
