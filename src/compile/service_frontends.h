#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "compile/services.h"
#include "model/pod.h"
#include "model/service.h"
#include "state/service_entries.h"

namespace weir {

// What an address and port is to its claimant. Where several claim one, the earlier kind wins.
enum class FrontendKind : std::uint8_t {
  kClusterIp,
  kLoadBalancer,
  kExternalIp,
  kHostPort,
  kNodePort,
};

// An address and port that a Service or a pod wants to be reached by.
struct Claim {
  Address address;                   // zero: any of this node's, in the family of the zero address
  std::uint16_t port = 0;            // 0: the other ports of a ClusterIP
  std::optional<Protocol> protocol;  // none: port is 0
  FrontendKind kind = FrontendKind::kClusterIp;
  std::uint16_t index = 0;  // of the ServicePort or HostPort

  bool same_place(const Claim& other) const {
    return address == other.address && port == other.port && protocol == other.protocol;
  }
  std::size_t hash() const;
  std::string to_string() const;
};

Address zero_of(Family family);

// False: nobody here serves the Service; it has no entries.
bool is_served(const Service& service);
// The first ClusterIP of each family, in the Service's order; other families are not served.
std::vector<Address> cluster_ips(const Service& service);
ServicePortKey port_key(const Service& service, const ServicePort& port, Family family);
// The keys of all entries that the Service can have.
std::vector<ServicePortKey> port_keys(const Service& service);

// Every place that the Service wants, each once. complaints: what it cannot be given, whatever else
// there is in the cluster.
std::vector<Claim> claims_of(const Service& service, bool external_ips,
                             std::vector<std::string>* complaints = nullptr);
std::vector<Claim> claims_of(const Pod& pod);
// The key of the hostPort's entry.
ServicePortKey port_key(const Pod& pod, const HostPort& port, Family family);
std::vector<ServicePortKey> port_keys(const Pod& pod);

// compile_service() and compile_host_ports() for those places that were given. Entries are written
// over those in `out`.
void compile_claims(const Service& service, const std::vector<Claim>& given,
                    std::span<const EndpointSlice> slices, const ServiceContext& context,
                    ServiceChanges& out);
void compile_claims(const Pod& pod, const std::vector<Claim>& given, ServiceChanges& out);

}  // namespace weir
