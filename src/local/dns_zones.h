#pragma once

#include <string>
#include <vector>

#include "k8s/manifests.h"

namespace weir::local {

// Zones of a cluster's DNS, in the form of master files, without SOA: what Kubernetes' DNS
// specification 1.1 says of Services, endpoints of headless Services and pods.
struct DnsZones {
  std::string cluster;   // cluster.local
  std::string reverse4;  // in-addr.arpa
  std::string reverse6;  // ip6.arpa

  friend bool operator==(const DnsZones&, const DnsZones&) = default;
};
inline constexpr const char* kClusterDomain = "cluster.local";

// slices: of all Services.
DnsZones make_zones(const std::vector<ServiceManifest>& services,
                    const std::vector<EndpointSlice>& slices, const std::vector<Pod>& pods);

// The name of an address in the tree of PTR records: "5.0.244.10.in-addr.arpa.".
std::string reverse_name(const Address& address);
// 10.244.0.5 -> "10-244-0-5", fd00::5 -> "fd00--5".
std::string dashed(const Address& address);

}  // namespace weir::local
