#include <string_view>

#include "k8s/kinds.h"

namespace weir::k8s {
namespace {

bool has_taint(const Value& object, std::string_view key) {
  bool out = false;
  object["spec"]["taints"].for_each(
      [&out, key](const Value& taint) { out = out || taint["key"].text() == key; });
  return out;
}

// The cluster autoscaler is about to delete it, or somebody is: new connections go elsewhere.
bool is_leaving(const Value& object) {
  return object["metadata"]["deletionTimestamp"].present() ||
         has_taint(object, "ToBeDeletedByClusterAutoscaler");
}

std::string zone_of(const Value& metadata) {
  return metadata["labels"]["topology.kubernetes.io/zone"].text();
}

}  // namespace

Node read_node(const Value& object) {
  Node out;
  out.name = object["metadata"]["name"].text();
  const Value spec = object["spec"];
  const Value status = object["status"];
  status["addresses"].for_each([&out](const Value& item) {
    if (item["type"].text() != "InternalIP") return;
    if (const auto address = item["address"].address()) out.addresses.push_back(*address);
  });
  const auto add_cidr = [&out](const Value& item) {
    if (const auto cidr = item.cidr()) out.pod_cidrs.push_back(*cidr);
  };
  spec["podCIDRs"].for_each(add_cidr);
  if (out.pod_cidrs.empty()) add_cidr(spec["podCIDR"]);
  out.zone = zone_of(object["metadata"]);
  out.leaving = is_leaving(object);
  out.awaits_agent = has_taint(object, kNotReadyTaint);
  return out;
}

Namespace read_namespace(const Value& object) {
  const Value metadata = object["metadata"];
  return {.name = metadata["name"].text(), .labels = metadata["labels"].labels()};
}

}  // namespace weir::k8s
