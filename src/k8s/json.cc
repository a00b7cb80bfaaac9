// Model -> Kubernetes JSON. With read_*() of the kinds' files these are each other's inverse; the
// test of both is object_test.cc.
#include "k8s/json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

Json base(Kind kind, const ObjectKey& key) {
  Json out;
  out["apiVersion"] = "v1";
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

}  // namespace

std::string to_json(const Node& node) {
  Json out = base(Kind::kNode, node.key());
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
  if (pod.host_network) out["spec"]["hostNetwork"] = true;
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
  Json& spec = out["spec"];
  spec["type"] = service_type_name(service.type);
  put_labels(spec["selector"], service.selector);
  for (const ServicePort& port : service.ports) spec["ports"].push_back(port_json(port));
  for (const Address& address : service.cluster_ips) {
    spec["clusterIPs"].push_back(address.to_string());
  }
  if (service.headless) spec["clusterIPs"] = {"None"};
  if (!spec["clusterIPs"].empty()) spec["clusterIP"] = spec["clusterIPs"][0];
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
