#include "agent/gone_pods.h"

namespace weir {

GonePods::GonePods(Store& store, const Names& names) : names_(names) {
  store.listen([this](const StoreChange& row) {
    std::visit([this](const auto& typed) { change(typed); }, row);
  });
}

void GonePods::change(const RowChange<Pod>& row) {
  if (row.before == nullptr || row.before->host_network) return;
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
}

void GonePods::change(const RowChange<Endpoint>& row) {
  if (row.before == nullptr) return;
  left_.insert(row.before->addresses.begin(), row.before->addresses.end());
}

// What a pod still has is among them after every change of it.
std::vector<Address> GonePods::take() {
  std::vector<Address> gone;
  for (const Address& address : left_) {
    if (!names_.has_owner(address)) gone.push_back(address);
  }
  left_.clear();
  return gone;
}

}  // namespace weir
