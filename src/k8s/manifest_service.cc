// YAML of a Service -> ServiceManifest.
#include <fmt/format.h>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

constexpr std::size_t kMaxPorts = 256;

ServicePort read_port(const Field& field) {
  Map map(field);
  ServicePort out;
  out.name = map.get("name").dns_label();
  out.protocol = *parse_protocol(map.get("protocol").word({"TCP", "UDP", "SCTP"}, "TCP"));
  out.port = static_cast<std::uint16_t>(map.need("port").number(1, 65535, 0));
  const Field target = map.get("targetPort");
  if (target.is_text()) {
    out.target.name = target.dns_label(15);
  } else {
    out.target.number = static_cast<std::uint16_t>(target.number(1, 65535, out.port));
  }
  out.node_port = static_cast<std::uint16_t>(map.get("nodePort").number(0, 65535, 0));
  map.rest({"appProtocol"});
  return out;
}

void read_ports(const Field& field, Service& out) {
  const auto items = field.items();
  if (items.size() > kMaxPorts) return field.error(fmt::format("must be at most {}", kMaxPorts));
  std::set<std::string> names;
  std::set<std::pair<Protocol, std::uint16_t>> ports;
  for (const Field& item : items) {
    const ServicePort port = read_port(item);
    if (items.size() > 1 && port.name.empty()) item.error("name is missing: there are more ports");
    if (!port.name.empty() && !names.insert(port.name).second) {
      item.error(fmt::format("another port is named '{}'", port.name));
    }
    if (port.port != 0 && !ports.insert({port.protocol, port.port}).second) {
      item.error(fmt::format("port {}/{} is there twice", port.port, protocol_name(port.protocol)));
    }
    out.ports.push_back(port);
  }
}

void read_cluster_ip(const Field& field, Service& out) {
  const std::string text = field.text();
  if (text.empty()) return;
  if (text == "None") {
    out.headless = true;
    return;
  }
  const auto address = Address::parse(text);
  if (!address) return field.must("be an address or None");
  out.cluster_ips.push_back(*address);
}

void read_cluster_ips(const Field& one, const Field& all, Service& out) {
  for (const Field& item : all.items()) read_cluster_ip(item, out);
  if (out.cluster_ips.empty() && !out.headless) read_cluster_ip(one, out);
  if (out.headless && !out.cluster_ips.empty()) all.error("None stands alone");
}

}  // namespace

ServiceManifest read_service(Meta meta, const Field& spec_field) {
  Map spec(spec_field);
  ServiceManifest out;
  out.meta = std::move(meta);
  out.service.namespace_ = out.meta.namespace_;
  out.service.name = out.meta.name;
  out.service.selector = spec.get("selector").labels();
  read_ports(spec.get("ports"), out.service);
  out.service.type = *parse_service_type(spec.get("type").word(
      {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "ClusterIP"));
  read_cluster_ips(spec.get("clusterIP"), spec.get("clusterIPs"), out.service);
  if (out.service.ports.empty() && !out.service.headless && spec_field.present() &&
      out.service.type != ServiceType::kExternalName) {
    spec_field.error("ports is missing");
  }
  spec.rest({"allocateLoadBalancerNodePorts", "externalIPs", "externalName",
             "externalTrafficPolicy", "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies",
             "ipFamilyPolicy", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges",
             "publishNotReadyAddresses", "sessionAffinity", "sessionAffinityConfig",
             "trafficDistribution"});
  return out;
}

}  // namespace weir::k8s
