#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "k8s/manifests.h"
#include "local/cluster.h"

namespace weir::local {

// From what a cluster's Services are given addresses and ports.
struct ServiceRanges {
  std::vector<Cidr> cluster_ips;  // one per family; the first is the default family's
  std::vector<Cidr> balancer_ips;
  std::uint16_t first_node_port = 30000;
  std::uint16_t last_node_port = 32767;
};
ServiceRanges service_ranges(const Cluster& cluster);

// What an API server and a cloud add to the `wanted` Services when they are created or changed:
// families, clusterIPs, nodePorts, healthCheckNodePort, addresses of load balancers, time of
// creation. `existing` keep what they have, also those that are wanted anew. Requests are
// respected, or refused: kInvalid names the Service, what it asks for, and who has that. now:
// seconds since 1970.
Result<std::vector<ServiceManifest>> allocate_services(const ServiceRanges& ranges,
                                                       const std::vector<ServiceManifest>& existing,
                                                       std::vector<ServiceManifest> wanted,
                                                       std::int64_t now);

}  // namespace weir::local
