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

struct Service {
  std::string namespace_;
  std::string name;
  Labels selector;  // empty: selects nothing
  std::vector<ServicePort> ports;
  std::vector<Address> cluster_ips;  // empty: none given yet, or headless
  bool headless = false;             // clusterIP: None
  ServiceType type = ServiceType::kClusterIp;

  ObjectKey key() const { return {namespace_, name}; }
  bool selects(const Labels& labels) const;

  friend bool operator==(const Service&, const Service&) = default;
};

}  // namespace weir
