// Model -> Kubernetes JSON. With read_*() of the kinds' files these are each other's inverse; the
// test of both is object_test.cc.
#include "k8s/json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "k8s/kinds.h"
#include "k8s/time.h"

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

const char* version_of(Kind kind) {
  if (kind == Kind::kPodEndpoint) return k8s::kOwnVersion;
  return kind == Kind::kEndpointSlice ? "discovery.k8s.io/v1" : "v1";
}

Json base(Kind kind, const ObjectKey& key) {
  Json out;
  out["apiVersion"] = version_of(kind);
  out["kind"] = kind_name(kind);
  out["metadata"]["name"] = key.name;
  if (!key.namespace_.empty()) out["metadata"]["namespace"] = key.namespace_;
  return out;
}

void put_labels(Json& place, const Labels& labels) {
  for (const auto& [key, value] : labels) place[key] = value;
}

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json owner(const std::string& workload) {
  return {
      {"apiVersion", "apps/v1"}, {"kind", "Deployment"}, {"name", workload}, {"controller", true}};
}

Json port_json(const ServicePort& port) {
  Json out;
  if (!port.name.empty()) out["name"] = port.name;
  out["protocol"] = protocol_name(port.protocol);
  out["port"] = port.port;
  if (port.target.number != 0) {
    out["targetPort"] = port.target.number;
  } else {
    out["targetPort"] = port.target.name;
  }
  if (port.node_port != 0) out["nodePort"] = port.node_port;
  return out;
}

std::string_view family_name(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }
std::string_view policy_name(TrafficPolicy policy) {
  return policy == TrafficPolicy::kLocal ? "Local" : "Cluster";
}

void put_metadata(Json& metadata, const Service& service) {
  if (service.created != 0) metadata["creationTimestamp"] = k8s::format_time(service.created);
  if (service.other_proxy) metadata["labels"][k8s::kProxyLabel] = "other";
  if (service.own_node_first) metadata["annotations"][k8s::kNodeLocalAnnotation] = "true";
  if (!service.node_local_for.empty()) {
    metadata["annotations"][k8s::kNodeLocalForAnnotation] = service.node_local_for;
  }
  if (service.dsr) metadata["annotations"][k8s::kForwardingAnnotation] = "dsr";
}

void put_addresses(Json& spec, const Service& service) {
  for (const Address& address : service.cluster_ips) {
    spec["clusterIPs"].push_back(address.to_string());
  }
  if (service.headless) spec["clusterIPs"] = {"None"};
  if (!spec["clusterIPs"].empty()) spec["clusterIP"] = spec["clusterIPs"][0];
  for (const Family family : service.families) {
    spec["ipFamilies"].push_back(family_name(family));
  }
  for (const Address& address : service.external_ips) {
    spec["externalIPs"].push_back(address.to_string());
  }
}

std::string_view distribution_name(TrafficDistribution distribution) {
  switch (distribution) {
    case TrafficDistribution::kNone:
      return "";
    case TrafficDistribution::kPreferSameZone:
      return "PreferSameZone";
    case TrafficDistribution::kPreferSameNode:
      return "PreferSameNode";
  }
  return "?";
}

void put_policies(Json& spec, const Service& service) {
  spec["internalTrafficPolicy"] = policy_name(service.internal_policy);
  if (service.has_outside() || service.external_policy == TrafficPolicy::kLocal) {
    spec["externalTrafficPolicy"] = policy_name(service.external_policy);
  }
  if (service.publish_not_ready) spec["publishNotReadyAddresses"] = true;
  spec["sessionAffinity"] = service.affinity_seconds != 0 ? "ClientIP" : "None";
  if (service.affinity_seconds != 0) {
    spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] = service.affinity_seconds;
  }
  const std::string_view distribution = distribution_name(service.distribution);
  if (!distribution.empty()) spec["trafficDistribution"] = distribution;
}

void put_balancer(Json& out, const Service& service) {
  Json& spec = out["spec"];
  for (const Cidr& range : service.source_ranges) {
    spec["loadBalancerSourceRanges"].push_back(range.to_string());
  }
  if (service.health_check_port != 0) spec["healthCheckNodePort"] = service.health_check_port;
  if (!service.allocate_node_ports) spec["allocateLoadBalancerNodePorts"] = false;
  for (const Ingress& ingress : service.ingress) {
    out["status"]["loadBalancer"]["ingress"].push_back(
        {{"ip", ingress.address.to_string()}, {"ipMode", ingress.proxy ? "Proxy" : "VIP"}});
  }
}

Json host_port_json(const HostPort& port) {
  Json out = {{"containerPort", port.port},
              {"hostPort", port.host_port},
              {"protocol", protocol_name(port.protocol)}};
  if (!port.host_ip.is_zero()) out["hostIP"] = port.host_ip.to_string();
  return out;
}

Json names_json(const std::vector<std::string>& names) {
  Json out = Json::array();
  for (const std::string& name : names) out.push_back({{"name", name}});
  return out;
}

Json endpoint_json(const SliceEndpoint& endpoint, const std::string& namespace_) {
  Json out;
  for (const Address& address : endpoint.addresses) {
    out["addresses"].push_back(address.to_string());
  }
  out["conditions"] = {{"ready", endpoint.ready},
                       {"serving", endpoint.serving},
                       {"terminating", endpoint.terminating}};
  if (!endpoint.node.empty()) out["nodeName"] = endpoint.node;
  if (!endpoint.zone.empty()) out["zone"] = endpoint.zone;
  if (!endpoint.hinted_zones.empty()) out["hints"]["forZones"] = names_json(endpoint.hinted_zones);
  if (!endpoint.hinted_nodes.empty()) out["hints"]["forNodes"] = names_json(endpoint.hinted_nodes);
  if (!endpoint.pod.empty()) {
    out["targetRef"] = {{"kind", "Pod"}, {"namespace", namespace_}, {"name", endpoint.pod}};
  }
  return out;
}

Json slice_port_json(const SlicePort& port) {
  Json out = {{"name", port.name}, {"protocol", protocol_name(port.protocol)}};
  if (port.port != 0) out["port"] = port.port;
  return out;
}

}  // namespace

std::string to_json(const Node& node) {
  Json out = base(Kind::kNode, node.key());
  if (!node.zone.empty()) out["metadata"]["labels"]["topology.kubernetes.io/zone"] = node.zone;
  const auto taint = [&out](const char* key) {
    out["spec"]["taints"].push_back({{"key", key}, {"effect", "NoSchedule"}});
  };
  if (node.leaving) taint("ToBeDeletedByClusterAutoscaler");
  if (node.awaits_agent) taint(kNotReadyTaint);
  for (const Cidr& cidr : node.pod_cidrs) out["spec"]["podCIDRs"].push_back(cidr.to_string());
  if (!node.pod_cidrs.empty()) out["spec"]["podCIDR"] = node.pod_cidrs.front().to_string();
  for (const Address& address : node.addresses) {
    out["status"]["addresses"].push_back(
        {{"type", "InternalIP"}, {"address", address.to_string()}});
  }
  return dump(out);
}

std::string to_json(const Namespace& ns) {
  Json out = base(Kind::kNamespace, ns.key());
  put_labels(out["metadata"]["labels"], ns.labels);
  return dump(out);
}

std::string to_json(const Pod& pod) {
  Json out = base(Kind::kPod, pod.key());
  Json& metadata = out["metadata"];
  metadata["uid"] = pod.uid;
  put_labels(metadata["labels"], pod.labels);
  if (!pod.workload.empty()) metadata["ownerReferences"].push_back(owner(pod.workload));
  if (pod.terminating) metadata["deletionTimestamp"] = "1970-01-01T00:00:00Z";
  if (!pod.node.empty()) out["spec"]["nodeName"] = pod.node;
  if (pod.weight != 1) metadata["annotations"][k8s::kWeightAnnotation] = std::to_string(pod.weight);
  if (pod.host_network) out["spec"]["hostNetwork"] = true;
  if (!pod.host_ports.empty()) {
    Json container = {{"name", "ports"}};
    for (const HostPort& port : pod.host_ports) container["ports"].push_back(host_port_json(port));
    out["spec"]["containers"].push_back(std::move(container));
  }
  Json& status = out["status"];
  status["phase"] = phase_name(pod.phase);
  status["conditions"].push_back({{"type", "Ready"}, {"status", pod.ready ? "True" : "False"}});
  if (!pod.addresses.empty()) status["podIP"] = pod.addresses.front().to_string();
  for (const Address& address : pod.addresses) {
    status["podIPs"].push_back({{"ip", address.to_string()}});
  }
  return dump(out);
}

std::string to_json(const Service& service) {
  Json out = base(Kind::kService, service.key());
  put_metadata(out["metadata"], service);
  Json& spec = out["spec"];
  spec["type"] = service_type_name(service.type);
  put_labels(spec["selector"], service.selector);
  for (const ServicePort& port : service.ports) spec["ports"].push_back(port_json(port));
  put_addresses(spec, service);
  put_policies(spec, service);
  put_balancer(out, service);
  return dump(out);
}

std::string to_json(const EndpointSlice& slice) {
  Json out = base(Kind::kEndpointSlice, slice.key());
  if (!slice.service.empty()) {
    out["metadata"]["labels"][k8s::kServiceLabel] = slice.service;
  }
  out["addressType"] = family_name(slice.family);
  out["endpoints"] = Json::array();
  for (const SliceEndpoint& endpoint : slice.endpoints) {
    out["endpoints"].push_back(endpoint_json(endpoint, slice.namespace_));
  }
  for (const SlicePort& port : slice.ports) out["ports"].push_back(slice_port_json(port));
  return dump(out);
}

std::string to_json(const PodEndpoint& endpoint) {
  Json out = base(Kind::kPodEndpoint, endpoint.key());
  if (endpoint.leaving) out["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z";
  Json& spec = out["spec"];
  spec["node"] = endpoint.node;
  for (const Address& address : endpoint.addresses) {
    spec["addresses"].push_back(address.to_string());
  }
  put_labels(spec["labels"], endpoint.labels);
  if (!endpoint.workload.empty()) spec["workload"] = endpoint.workload;
  if (endpoint.weight != 1) spec["weight"] = endpoint.weight;
  return dump(out);
}

std::string to_json(const Object& object) {
  return std::visit([](const auto& value) { return to_json(value); }, object);
}

std::string object_path(Kind kind, const ObjectKey& key) {
  return fmt::format("{}/{}/{}.json", kind_name(kind),
                     key.namespace_.empty() ? "_" : key.namespace_, key.name);
}

}  // namespace weir
