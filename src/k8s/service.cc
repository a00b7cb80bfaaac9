#include "k8s/kinds.h"

namespace weir::k8s {
namespace {

constexpr std::uint32_t kDefaultAffinitySeconds = 10800;
constexpr std::uint32_t kMaxAffinitySeconds = 86400;

TargetPort target_of(const Value& target, std::uint16_t port) {
  if (!target.present()) return {.number = port, .name = {}};
  if (!target.is_text()) {
    const auto number = static_cast<std::uint16_t>(target.number(0, 65535));
    return {.number = number == 0 ? port : number, .name = {}};
  }
  const std::string name = target.text();
  if (name.empty()) return {.number = port, .name = {}};
  return {.number = 0, .name = name};
}

ServicePort read_port(const Value& item) {
  ServicePort out;
  out.name = item["name"].text();
  out.protocol = read_protocol(item["protocol"]);
  const Value port = item["port"];
  if (!port.present()) port.wrong("is missing");
  out.port = static_cast<std::uint16_t>(port.number(1, 65535));
  out.target = target_of(item["targetPort"], out.port);
  out.node_port = static_cast<std::uint16_t>(item["nodePort"].number(0, 65535));
  return out;
}

// "" is an address not yet given, "None" says that there will be none.
void add_cluster_ip(const Value& item, Service& out) {
  const bool is_none = item.is_text() && item.text() == "None";
  if (is_none) out.headless = true;
  if (is_none || (item.is_text() && item.text().empty())) return;
  if (const auto address = item.address()) out.cluster_ips.push_back(*address);
}

void read_cluster_ips(const Value& spec, Service& out) {
  spec["clusterIPs"].for_each([&out](const Value& item) { add_cluster_ip(item, out); });
  if (out.cluster_ips.empty() && !out.headless) add_cluster_ip(spec["clusterIP"], out);
  if (out.headless && !out.cluster_ips.empty()) spec["clusterIPs"].wrong("None stands alone");
}

ServiceType type_of(const Value& type) {
  if (!type.present()) return ServiceType::kClusterIp;
  const auto parsed = parse_service_type(type.text());
  if (!parsed) type.wrong("must be ClusterIP, NodePort, LoadBalancer or ExternalName");
  return parsed.value_or(ServiceType::kClusterIp);
}

void read_families(const Value& list, Service& out) {
  list.for_each([&out](const Value& item) {
    const std::string word = item.text();
    if (word != "IPv4" && word != "IPv6") return item.wrong("must be IPv4 or IPv6");
    out.families.push_back(word == "IPv4" ? Family::kIpv4 : Family::kIpv6);
  });
}

TrafficPolicy policy_of(const Value& policy) {
  const std::string word = policy.text();
  if (word.empty() || word == "Cluster") return TrafficPolicy::kCluster;
  if (word != "Local") policy.wrong("must be Cluster or Local");
  return TrafficPolicy::kLocal;
}

std::uint32_t affinity_of(const Value& spec) {
  const Value affinity = spec["sessionAffinity"];
  const std::string word = affinity.text();
  if (word.empty() || word == "None") return 0;
  if (word != "ClientIP") affinity.wrong("must be ClientIP or None");
  const Value config = spec["sessionAffinityConfig"];
  const Value client = config["clientIP"];
  return static_cast<std::uint32_t>(
      client["timeoutSeconds"].number(1, kMaxAffinitySeconds, kDefaultAffinitySeconds));
}

// A hint: what a later Kubernetes calls so is not an error.
TrafficDistribution distribution_of(const Value& distribution) {
  const std::string word = distribution.text();
  if (word == "PreferSameNode") return TrafficDistribution::kPreferSameNode;
  if (word == "PreferClose" || word == "PreferSameZone") {
    return TrafficDistribution::kPreferSameZone;
  }
  if (!word.empty()) {
    distribution.note(
        "is not PreferClose, PreferSameZone or PreferSameNode: all endpoints are used");
  }
  return TrafficDistribution::kNone;
}

// Some balancers have a name only; what that name stands for is not the nodes' business.
void read_ingress(const Value& item, Service& out) {
  const Value ip = item["ip"];
  const Value mode = item["ipMode"];
  const std::string word = mode.text();
  if (!word.empty() && word != "VIP" && word != "Proxy") mode.wrong("must be VIP or Proxy");
  if (ip.is_text() && ip.text().empty()) return;
  if (const auto address = ip.address()) out.ingress.push_back({*address, word == "Proxy"});
}

void read_outside(const Value& spec, const Value& status, Service& out) {
  spec["externalIPs"].for_each([&out](const Value& item) {
    if (const auto address = item.address()) out.external_ips.push_back(*address);
  });
  spec["loadBalancerSourceRanges"].for_each([&out](const Value& item) {
    if (const auto range = item.cidr()) out.source_ranges.push_back(*range);
  });
  status["loadBalancer"]["ingress"].for_each(
      [&out](const Value& item) { read_ingress(item, out); });
  out.external_policy = policy_of(spec["externalTrafficPolicy"]);
  out.health_check_port = static_cast<std::uint16_t>(spec["healthCheckNodePort"].number(0, 65535));
  out.allocate_node_ports = spec["allocateLoadBalancerNodePorts"].flag(true);
}

// True if it is `word`; absent or "false": not.
bool annotation_is(const Value& annotation, std::string_view word, std::string_view other) {
  const std::string text = annotation.text();
  const bool is_word = text == word;
  if (annotation.present() && !is_word && text != other) {
    annotation.note("must be \"" + std::string(word) + "\" or \"" + std::string(other) +
                    "\"; it is without effect");
  }
  return is_word;
}

void read_metadata(const Value& metadata, Service& out) {
  out.namespace_ = metadata["namespace"].text();
  out.name = metadata["name"].text();
  out.created = metadata["creationTimestamp"].time();
  const Value labels = metadata["labels"];
  out.other_proxy = labels[kProxyLabel].present() || labels[kHeadlessLabel].present();
  const Value annotations = metadata["annotations"];
  out.own_node_first = annotation_is(annotations[kNodeLocalAnnotation], "true", "false");
  if (annotations[kNodeLocalForAnnotation].present()) {
    out.node_local_for = annotations[kNodeLocalForAnnotation].text();
  }
  out.dsr = annotation_is(annotations[kForwardingAnnotation], "dsr", "snat");
}

}  // namespace

Protocol read_protocol(const Value& value) {
  if (!value.present()) return Protocol::kTcp;
  const auto parsed = parse_protocol(value.text());
  if (!parsed) value.wrong("must be TCP, UDP or SCTP");
  return parsed.value_or(Protocol::kTcp);
}

Service read_service(const Value& object) {
  const Value spec = object["spec"];
  Service out;
  read_metadata(object["metadata"], out);
  out.selector = spec["selector"].labels();
  spec["ports"].for_each([&out](const Value& item) { out.ports.push_back(read_port(item)); });
  read_cluster_ips(spec, out);
  out.type = type_of(spec["type"]);
  read_families(spec["ipFamilies"], out);
  read_outside(spec, object["status"], out);
  out.internal_policy = policy_of(spec["internalTrafficPolicy"]);
  out.publish_not_ready = spec["publishNotReadyAddresses"].flag();
  out.affinity_seconds = affinity_of(spec);
  out.distribution = distribution_of(spec["trafficDistribution"]);
  return out;
}

}  // namespace weir::k8s
