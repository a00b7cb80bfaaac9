#include "k8s/kinds.h"

namespace weir::k8s {

PodEndpoint read_pod_endpoint(const Value& object) {
  const Value metadata = object["metadata"];
  const Value spec = object["spec"];
  PodEndpoint out;
  out.namespace_ = metadata["namespace"].text();
  out.name = metadata["name"].text();
  out.leaving = metadata["deletionTimestamp"].present();
  out.node = spec["node"].text();
  out.labels = spec["labels"].labels();
  spec["addresses"].for_each([&out](const Value& item) {
    if (const auto address = item.address()) out.addresses.push_back(*address);
  });
  out.weight = static_cast<std::uint32_t>(spec["weight"].number(1, Pod::kMaxWeight, 1));
  out.workload = spec["workload"].text();
  if (out.node.empty()) spec["node"].wrong("is missing");
  return out;
}

}  // namespace weir::k8s
