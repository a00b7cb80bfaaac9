#include <string>

#include "k8s/kinds.h"

namespace weir::k8s {
namespace {

// A Deployment's pods belong to a ReplicaSet named <deployment>-<pod-template-hash>.
std::string workload_of_owner(const std::string& kind, const std::string& name,
                              const Labels& labels) {
  const auto hash = labels.find("pod-template-hash");
  if (kind != "ReplicaSet" || hash == labels.end()) return name;
  const std::string suffix = "-" + hash->second;
  return name.size() > suffix.size() && name.ends_with(suffix)
             ? name.substr(0, name.size() - suffix.size())
             : name;
}

std::string workload(const Value& metadata, const Labels& labels) {
  std::string out;
  metadata["ownerReferences"].for_each([&out, &labels](const Value& owner) {
    if (!owner["controller"].flag() && !out.empty()) return;
    out = workload_of_owner(owner["kind"].text(), owner["name"].text(), labels);
  });
  for (const char* label : {"app.kubernetes.io/name", "app", "k8s-app"}) {
    const auto it = labels.find(label);
    if (out.empty() && it != labels.end()) out = it->second;
  }
  return out;
}

std::vector<Address> pod_addresses(const Value& status) {
  std::vector<Address> out;
  const auto add = [&out](const Value& item) {
    if (const auto address = item.address()) out.push_back(*address);
  };
  status["podIPs"].for_each([&add](const Value& item) { add(item["ip"]); });
  if (out.empty()) add(status["podIP"]);
  return out;
}

PodPhase phase_of(const Value& phase) {
  if (!phase.present()) return PodPhase::kPending;
  const auto parsed = parse_phase(phase.text());
  if (!parsed) phase.wrong("must be Pending, Running, Succeeded, Failed or Unknown");
  return parsed.value_or(PodPhase::kUnknown);
}

bool is_ready(const Value& status) {
  bool out = false;
  status["conditions"].for_each([&out](const Value& condition) {
    if (condition["type"].text() == "Ready") out = condition["status"].text() == "True";
  });
  return out;
}

// No hostIP, or "::": all addresses of the node; "0.0.0.0": its IPv4 addresses.
void read_host_port(const Value& port, std::vector<HostPort>& out) {
  const Value host_port = port["hostPort"];
  if (host_port.number(0, 65535) == 0) return;
  HostPort one;
  one.protocol = read_protocol(port["protocol"]);
  one.host_port = static_cast<std::uint16_t>(host_port.number(1, 65535));
  one.port = static_cast<std::uint16_t>(port["containerPort"].number(1, 65535));
  const Value host_ip = port["hostIP"];
  if (host_ip.is_text() && !host_ip.text().empty()) {
    one.host_ip = host_ip.address().value_or(Address());
  }
  if (one.port == 0) return port["containerPort"].wrong("is missing");
  out.push_back(one);
}

// Sidecars are init containers that are always restarted.
std::vector<HostPort> host_ports(const Value& spec) {
  std::vector<HostPort> out;
  const auto add = [&out](const Value& container) {
    container["ports"].for_each([&out](const Value& port) { read_host_port(port, out); });
  };
  spec["containers"].for_each(add);
  spec["initContainers"].for_each([&add](const Value& container) {
    if (container["restartPolicy"].text() == "Always") add(container);
  });
  return out;
}

std::uint32_t weight_of(const Value& weight) {
  const auto parsed = parse_weight(weight.text());
  if (weight.present() && !parsed) weight.note("must be \"1\" to \"256\"; 1 is taken");
  return parsed.value_or(1);
}

}  // namespace

Pod read_pod(const Value& object) {
  const Value metadata = object["metadata"];
  const Value spec = object["spec"];
  const Value status = object["status"];
  Pod out;
  out.namespace_ = metadata["namespace"].text();
  out.name = metadata["name"].text();
  out.uid = metadata["uid"].text();
  out.labels = metadata["labels"].labels();
  out.terminating = metadata["deletionTimestamp"].present();
  out.workload = workload(metadata, out.labels);
  out.node = spec["nodeName"].text();
  out.host_network = spec["hostNetwork"].flag();
  out.addresses = pod_addresses(status);
  out.phase = phase_of(status["phase"]);
  out.ready = is_ready(status);
  if (!out.host_network) out.host_ports = host_ports(spec);
  out.weight = weight_of(metadata["annotations"][kWeightAnnotation]);
  return out;
}

}  // namespace weir::k8s
