#include "model/pod_endpoint.h"

namespace weir {

std::optional<PodEndpoint> pod_endpoint_of(const Pod& pod) {
  if (pod.node.empty() || pod.finished()) return std::nullopt;
  PodEndpoint out;
  if (!pod.host_network) out.addresses = pod.addresses;
  if (out.addresses.empty() && pod.weight == 1) return std::nullopt;
  out.namespace_ = pod.namespace_;
  out.name = pod.name;
  out.node = pod.node;
  out.labels = pod.labels;
  out.weight = pod.weight;
  out.workload = pod.workload;
  out.leaving = pod.terminating;
  return out;
}

}  // namespace weir
