#include "k8s/kinds.h"

namespace weir::k8s {
namespace {

TargetPort target_of(const Value& target, std::uint16_t port) {
  if (!target.present()) return {.number = port, .name = {}};
  if (target.is_text()) return {.number = 0, .name = target.text()};
  return {.number = static_cast<std::uint16_t>(target.number(1, 65535)), .name = {}};
}

ServicePort read_port(const Value& item) {
  ServicePort out;
  out.name = item["name"].text();
  const Value protocol = item["protocol"];
  if (protocol.present()) {
    const auto parsed = parse_protocol(protocol.text());
    if (!parsed) protocol.wrong("must be TCP, UDP or SCTP");
    out.protocol = parsed.value_or(Protocol::kTcp);
  }
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

ServiceType type_of(const Value& type) {
  if (!type.present()) return ServiceType::kClusterIp;
  const auto parsed = parse_service_type(type.text());
  if (!parsed) type.wrong("must be ClusterIP, NodePort, LoadBalancer or ExternalName");
  return parsed.value_or(ServiceType::kClusterIp);
}

}  // namespace

Service read_service(const Value& object) {
  const Value metadata = object["metadata"];
  const Value spec = object["spec"];
  Service out;
  out.namespace_ = metadata["namespace"].text();
  out.name = metadata["name"].text();
  out.selector = spec["selector"].labels();
  spec["ports"].for_each([&out](const Value& item) { out.ports.push_back(read_port(item)); });
  spec["clusterIPs"].for_each([&out](const Value& item) { add_cluster_ip(item, out); });
  if (out.cluster_ips.empty() && !out.headless) add_cluster_ip(spec["clusterIP"], out);
  if (out.headless && !out.cluster_ips.empty()) spec["clusterIPs"].wrong("None stands alone");
  out.type = type_of(spec["type"]);
  return out;
}

}  // namespace weir::k8s
