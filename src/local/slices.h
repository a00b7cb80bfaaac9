#pragma once

#include <map>
#include <string>
#include <vector>

#include "k8s/manifests.h"

namespace weir::local {

inline constexpr std::size_t kMaxSliceEndpoints = 100;

// A pod as it may stand behind Services. Both live as long as this.
struct BackingPod {
  const Pod& pod;
  const PodSpec& spec;
};

// The EndpointSlices of a Service as Kubernetes' controller makes them (k8s.io/endpointslice): one
// group per family and set of resolved ports; endpoints stay in the slice where they are. None for
// a Service without selector or of type ExternalName.
// before: what this gave the last time; zones: of nodes, those that have one.
std::vector<EndpointSlice> make_slices(const Service& service, const std::vector<BackingPod>& pods,
                                       const std::map<std::string, std::string>& zones,
                                       std::vector<EndpointSlice> before);

}  // namespace weir::local
