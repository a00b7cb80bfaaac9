#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "model/key.h"

namespace weir {

enum class Protocol : std::uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };

std::string_view protocol_name(Protocol protocol);
std::optional<Protocol> parse_protocol(std::string_view text);

enum class ServiceType : std::uint8_t { kClusterIp, kNodePort, kLoadBalancer, kExternalName };

std::string_view service_type_name(ServiceType type);
std::optional<ServiceType> parse_service_type(std::string_view text);

// The port on the pods: a number, or the name of a container's port.
struct TargetPort {
  std::uint16_t number = 0;
  std::string name;  // used when number is 0

  friend bool operator==(const TargetPort&, const TargetPort&) = default;
};

struct ServicePort {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  TargetPort target;
  std::uint16_t node_port = 0;  // 0: none

  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

enum class TrafficPolicy : std::uint8_t { kCluster, kLocal };

enum class TrafficDistribution : std::uint8_t { kNone, kPreferSameZone, kPreferSameNode };

// One of status.loadBalancer.ingress that has an address. kProxy: the balancer ends connections
// itself, so nodes do not serve the address.
struct Ingress {
  Address address;
  bool proxy = false;  // ipMode: Proxy

  friend bool operator==(const Ingress&, const Ingress&) = default;
};

// Fields of the API with their defaults applied.
struct Service {
  std::string namespace_;
  std::string name;
  std::int64_t created = 0;  // creationTimestamp, seconds since 1970; 0: not given
  Labels selector;           // empty: selects nothing
  std::vector<ServicePort> ports;
  std::vector<Address> cluster_ips;  // empty: none given yet, or headless
  bool headless = false;             // clusterIP: None
  ServiceType type = ServiceType::kClusterIp;
  std::vector<Family> families;  // ipFamilies, in their order; empty: not said
  std::vector<Address> external_ips;
  std::vector<Ingress> ingress;
  std::vector<Cidr> source_ranges;  // loadBalancerSourceRanges; empty: everybody
  TrafficPolicy internal_policy = TrafficPolicy::kCluster;
  TrafficPolicy external_policy = TrafficPolicy::kCluster;
  std::uint16_t health_check_port = 0;  // healthCheckNodePort, 0: none
  bool allocate_node_ports = true;      // allocateLoadBalancerNodePorts
  bool publish_not_ready = false;       // publishNotReadyAddresses
  std::uint32_t affinity_seconds = 0;   // sessionAffinity: ClientIP; 0: None
  TrafficDistribution distribution = TrafficDistribution::kNone;
  // Labels service.kubernetes.io/service-proxy-name or service.kubernetes.io/headless: others serve
  // it.
  bool other_proxy = false;
  // Annotations of Weir, see docs/services.md.
  // weir.dev/node-local: "true": clients of a ClusterIP get ready backends of their own node, while
  // it has one.
  bool own_node_first = false;
  // weir.dev/node-local-for: the Service of the same namespace for which this one's backends stand
  // in on their own nodes. NodeLocal takes it: in the store it is empty.
  std::string node_local_for;
  bool dsr = false;  // weir.dev/forwarding: "dsr"

  ObjectKey key() const { return {namespace_, name}; }
  bool selects(const Labels& labels) const;
  // Has addresses or ports for clients outside the cluster.
  bool has_outside() const {
    return type == ServiceType::kNodePort || type == ServiceType::kLoadBalancer ||
           !external_ips.empty();
  }

  friend bool operator==(const Service&, const Service&) = default;
};

}  // namespace weir
