// YAML of a Service -> ServiceManifest.
#include <fmt/format.h>

#include "k8s/kinds.h"
#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

constexpr std::size_t kMaxPorts = 256;
constexpr std::size_t kMaxAddresses = 256;
constexpr std::uint32_t kMaxAffinitySeconds = 86400;
constexpr std::uint32_t kDefaultAffinitySeconds = 10800;

ServicePort read_port(const Field& field) {
  Map map(field);
  ServicePort out;
  out.name = map.get("name").dns_label();
  out.protocol = read_protocol(map.get("protocol"));
  out.port = static_cast<std::uint16_t>(map.need("port").number(1, 65535, 0));
  const Field target = map.get("targetPort");
  if (target.is_text()) {
    out.target.name = read_port_name(target);
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
  std::set<std::pair<Protocol, std::uint16_t>> node_ports;
  for (const Field& item : items) {
    const ServicePort port = read_port(item);
    if (items.size() > 1 && port.name.empty()) item.error("name is missing: there are more ports");
    if (!port.name.empty() && !names.insert(port.name).second) {
      item.error(fmt::format("another port is named '{}'", port.name));
    }
    if (port.port != 0 && !ports.insert({port.protocol, port.port}).second) {
      item.error(fmt::format("port {}/{} is there twice", port.port, protocol_name(port.protocol)));
    }
    if (port.node_port != 0 && !node_ports.insert({port.protocol, port.node_port}).second) {
      item.error(fmt::format("nodePort {}/{} is there twice", port.node_port,
                             protocol_name(port.protocol)));
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

void read_cluster_ips(Map& spec, Service& out) {
  const Field one = spec.get("clusterIP");
  const Field all = spec.get("clusterIPs");
  const auto items = all.items();
  if (items.size() > 2) return all.error("must be at most one per family");
  for (const Field& item : items) read_cluster_ip(item, out);
  if (out.headless && !out.cluster_ips.empty()) return all.error("None stands alone");
  Service alone;
  read_cluster_ip(one, alone);
  if (items.empty()) {
    out.cluster_ips = alone.cluster_ips;
    out.headless = alone.headless;
    return;
  }
  const bool same = alone.headless == out.headless &&
                    (alone.headless || alone.cluster_ips.empty() || out.cluster_ips.empty() ||
                     alone.cluster_ips.front() == out.cluster_ips.front());
  if (one.is_text() && !one.text().empty() && !same) one.must("be the first of clusterIPs");
}

void read_families(const Field& field, Service& out) {
  const auto items = field.items();
  if (items.size() > 2) return field.error("must be at most IPv4 and IPv6");
  for (const Field& item : items) {
    const std::string word = item.word({"IPv4", "IPv6"}, "");
    if (!word.empty()) {
      out.families.push_back(word == "IPv4" ? Family::kIpv4 : Family::kIpv6);
    }
  }
}

std::optional<FamilyPolicy> read_family_policy(const Field& field) {
  const std::string word = field.word({"SingleStack", "PreferDualStack", "RequireDualStack"}, "");
  if (word == "SingleStack") return FamilyPolicy::kSingleStack;
  if (word == "PreferDualStack") return FamilyPolicy::kPreferDualStack;
  if (word == "RequireDualStack") return FamilyPolicy::kRequireDualStack;
  return std::nullopt;
}

TrafficPolicy read_policy(const Field& field) {
  return field.word({"Cluster", "Local"}, "Cluster") == "Local" ? TrafficPolicy::kLocal
                                                                : TrafficPolicy::kCluster;
}

std::uint32_t read_affinity(Map& spec) {
  const bool client = spec.get("sessionAffinity").word({"ClientIP", "None"}, "None") == "ClientIP";
  const Field config_field = spec.get("sessionAffinityConfig");
  Map config(config_field);
  Map client_ip(config.get("clientIP"));
  const Field seconds = client_ip.get("timeoutSeconds");
  const std::uint32_t out = seconds.number(1, kMaxAffinitySeconds, kDefaultAffinitySeconds);
  client_ip.rest({});
  config.rest({});
  if (!client && config_field.present()) config_field.error("wants sessionAffinity: ClientIP");
  return client ? out : 0;
}

TrafficDistribution read_distribution(const Field& field) {
  const std::string word = field.word({"PreferSameZone", "PreferSameNode", "PreferClose"}, "");
  if (word == "PreferSameNode") return TrafficDistribution::kPreferSameNode;
  return word.empty() ? TrafficDistribution::kNone : TrafficDistribution::kPreferSameZone;
}

void read_external_ips(const Field& field, Service& out) {
  const auto items = field.items();
  if (items.size() > kMaxAddresses) {
    return field.error(fmt::format("must be at most {}", kMaxAddresses));
  }
  for (const Field& item : items) {
    if (!item.present()) item.must("be an address");
    if (const auto address = read_reachable(item)) out.external_ips.push_back(*address);
  }
}

void read_source_ranges(const Field& field, Service& out) {
  const auto items = field.items();
  if (items.size() > kMaxAddresses) {
    return field.error(fmt::format("must be at most {}", kMaxAddresses));
  }
  for (const Field& item : items) {
    if (!item.present()) item.must("be a range like 10.0.0.0/8");
    if (const auto range = item.cidr()) out.source_ranges.push_back(*range);
  }
}

// Kubernetes has a Service's status written by a cloud; here, whoever wrote the manifest is that.
void read_status(const Field& field, Service& out) {
  Map status(field);
  Map balancer(status.get("loadBalancer"));
  for (const Field& item : balancer.get("ingress").items()) {
    Map ingress(item);
    const auto address = read_reachable(ingress.get("ip"));
    const bool proxy = ingress.get("ipMode").word({"VIP", "Proxy"}, "VIP") == "Proxy";
    if (address) out.ingress.push_back({*address, proxy});
    ingress.rest({"hostname", "ports"});
  }
  balancer.rest({});
  status.rest({"conditions"});
}

void apply_meta(const Meta& meta, Service& out) {
  out.namespace_ = meta.namespace_;
  out.name = meta.name;
  out.created = meta.created;
  out.other_proxy = meta.labels.contains(kProxyLabel) || meta.labels.contains(kHeadlessLabel);
  const auto says = [&meta](const char* annotation, std::string_view word) {
    const auto it = meta.annotations.find(annotation);
    return it != meta.annotations.end() && it->second == word;
  };
  out.own_node_first = says(kNodeLocalAnnotation, "true");
  const auto stands_in_for = meta.annotations.find(kNodeLocalForAnnotation);
  if (stands_in_for != meta.annotations.end()) out.node_local_for = stands_in_for->second;
  out.dsr = says(kForwardingAnnotation, "dsr");
}

}  // namespace

ServiceManifest read_service(Meta meta, Map& object) {
  Map spec(object.need("spec"));
  ServiceManifest out;
  out.meta = std::move(meta);
  Service& service = out.service;
  apply_meta(out.meta, service);
  service.selector = spec.get("selector").labels();
  read_ports(spec.get("ports"), service);
  service.type = *parse_service_type(spec.get("type").word(
      {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "ClusterIP"));
  read_cluster_ips(spec, service);
  read_families(spec.get("ipFamilies"), service);
  out.family_policy = read_family_policy(spec.get("ipFamilyPolicy"));
  read_external_ips(spec.get("externalIPs"), service);
  read_source_ranges(spec.get("loadBalancerSourceRanges"), service);
  service.internal_policy = read_policy(spec.get("internalTrafficPolicy"));
  service.external_policy = read_policy(spec.get("externalTrafficPolicy"));
  service.health_check_port =
      static_cast<std::uint16_t>(spec.get("healthCheckNodePort").number(0, 65535, 0));
  service.allocate_node_ports = spec.get("allocateLoadBalancerNodePorts").flag(true);
  service.publish_not_ready = spec.get("publishNotReadyAddresses").flag();
  service.affinity_seconds = read_affinity(spec);
  service.distribution = read_distribution(spec.get("trafficDistribution"));
  out.balancer_ip = read_reachable(spec.get("loadBalancerIP"));
  out.external_name = spec.get("externalName").text();
  if (spec.field().present()) check_service(out, spec);
  spec.rest({"loadBalancerClass"});
  read_status(object.get("status"), service);
  return out;
}

}  // namespace weir::k8s
