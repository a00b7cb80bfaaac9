#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "local/cluster.h"
#include "local/dns_zones.h"

namespace weir::local {

// The cluster's DNS: CoreDNS in pods of kube-system behind the Service kube-dns, with zone files
// that the controller writes.
inline constexpr const char* kDnsNamespace = "kube-system";
inline constexpr const char* kDnsDeployment = "coredns";
inline constexpr const char* kDnsFolder = "/run/weir/dns";  // in its pods
inline constexpr const char* kDnsProgram = "/run/weir/coredns";

// The address that pods find in /etc/resolv.conf.
Address dns_address(const Cluster& cluster);
// Namespace, Deployment and Service.
Manifests dns_manifests(const Cluster& cluster);

class DnsFiles {
 public:
  explicit DnsFiles(std::string folder) : folder_(std::move(folder)) {}

  Result<void> open(const Cluster& cluster);
  // Zones that differ from before are written; CoreDNS sees that by their serial numbers.
  Result<void> update(const DnsZones& zones);

 private:
  Result<void> write(const char* zone, const std::string& before, const std::string& now);
  Result<void> write_zone(const char* zone, const std::string& records);

  std::string folder_;
  std::string server_;  // records of the name server itself
  DnsZones zones_;
  std::uint32_t serial_ = 0;
};

}  // namespace weir::local
