#include "agent/gone_pods.h"

namespace weir {

GonePods::GonePods(Store& store, const Names& names, const std::string& node)
    : store_(store), names_(names), node_(node) {
  store.listen([this](const StoreChange& row) {
    std::visit([this](const auto& typed) { change(typed); }, row);
  });
}

void GonePods::change(const RowChange<Node>& row) {
  if (row.after != nullptr || row.before->name == node_) return;
  left_nodes_.insert(row.before->name);
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
  for (const auto& packed : store_.snapshot().pod_endpoints) {
    const PodEndpoint pod = packed.unpack();
    if (pod.node == row.before->name) left_.insert(pod.addresses.begin(), pod.addresses.end());
  }
}

void GonePods::change(const RowChange<Pod>& row) {
  if (row.before == nullptr || row.before->host_network) return;
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
}

void GonePods::change(const RowChange<PodEndpoint>& row) {
  if (row.before == nullptr) return;
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
}

void GonePods::change(const RowChange<Endpoint>& row) {
  if (row.before == nullptr) return;
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
}

bool GonePods::is_gone(const Address& address) const {
  if (!names_.has_owner(address)) return true;
  const std::string& node = names_.find(address).node;
  return left_nodes_.contains(node) && !store_.snapshot().nodes.contains({"", node});
}

// What a pod still has is among them after every change of it.
std::vector<Address> GonePods::take() {
  std::vector<Address> gone;
  for (const Address& address : left_) {
    if (is_gone(address)) gone.push_back(address);
  }
  left_.clear();
  left_nodes_.clear();
  return gone;
}

}  // namespace weir
