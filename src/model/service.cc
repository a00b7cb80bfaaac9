#include "model/service.h"

#include <algorithm>

namespace weir {
namespace {

constexpr Protocol kProtocols[] = {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp};
constexpr ServiceType kTypes[] = {ServiceType::kClusterIp, ServiceType::kNodePort,
                                  ServiceType::kLoadBalancer, ServiceType::kExternalName};

}  // namespace

std::string_view protocol_name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "TCP";
    case Protocol::kUdp:
      return "UDP";
    case Protocol::kSctp:
      return "SCTP";
  }
  return "?";
}

std::optional<Protocol> parse_protocol(std::string_view text) {
  for (const Protocol protocol : kProtocols) {
    if (text == protocol_name(protocol)) return protocol;
  }
  return std::nullopt;
}

std::string_view service_type_name(ServiceType type) {
  switch (type) {
    case ServiceType::kClusterIp:
      return "ClusterIP";
    case ServiceType::kNodePort:
      return "NodePort";
    case ServiceType::kLoadBalancer:
      return "LoadBalancer";
    case ServiceType::kExternalName:
      return "ExternalName";
  }
  return "?";
}

std::optional<ServiceType> parse_service_type(std::string_view text) {
  for (const ServiceType type : kTypes) {
    if (text == service_type_name(type)) return type;
  }
  return std::nullopt;
}

bool Service::selects(const Labels& labels) const {
  return !selector.empty() && std::ranges::all_of(selector, [&labels](const auto& wanted) {
    const auto it = labels.find(wanted.first);
    return it != labels.end() && it->second == wanted.second;
  });
}

}  // namespace weir
