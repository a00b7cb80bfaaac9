// What fields of a Service say of each other, as k8s.io/kubernetes/pkg/apis/core/validation has it.
#include <fmt/format.h>

#include <algorithm>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

bool is_family_list(const Service& service) {
  return service.families.size() < 2 || service.families[0] != service.families[1];
}

void check_name(const ServiceManifest& manifest, const Field& spec) {
  const std::string& name = manifest.meta.name;
  if (!name.empty() && (name.front() < 'a' || name.front() > 'z')) {
    spec.error(fmt::format("the Service's name must begin with a letter, is '{}'", name));
  }
}

void check_ports(const Service& service, Map& spec) {
  const bool may_be_empty = service.headless || service.type == ServiceType::kExternalName;
  if (service.ports.empty() && !may_be_empty) spec.field().error("ports is missing");
  if (service.type == ServiceType::kNodePort || service.type == ServiceType::kLoadBalancer) return;
  const auto items = spec.get("ports").items();
  for (std::size_t i = 0; i < std::min(items.size(), service.ports.size()); ++i) {
    if (service.ports[i].node_port == 0) continue;
    items[i].error("nodePort wants type: NodePort or LoadBalancer");
  }
}

void check_families(const ServiceManifest& manifest, Map& spec) {
  const Service& service = manifest.service;
  const Field families = spec.get("ipFamilies");
  const Field addresses = spec.has("clusterIPs") ? spec.get("clusterIPs") : spec.get("clusterIP");
  if (!is_family_list(service)) families.error("a family is there twice");
  const auto& ips = service.cluster_ips;
  if (ips.size() == 2 && ips[0].family() == ips[1].family()) {
    addresses.error("must be at most one per family");
  }
  for (std::size_t i = 0; i < std::min(ips.size(), service.families.size()); ++i) {
    if (ips[i].family() == service.families[i]) continue;
    addresses.error(fmt::format("{} is not of the family that ipFamilies has in its place",
                                ips[i].to_string()));
  }
  const bool dual = std::max(ips.size(), service.families.size()) > 1;
  if (dual &&
      manifest.family_policy.value_or(FamilyPolicy::kSingleStack) == FamilyPolicy::kSingleStack) {
    (families.present() ? families : addresses)
        .error("two families want ipFamilyPolicy: PreferDualStack or RequireDualStack");
  }
}

void check_external_name(const ServiceManifest& manifest, Map& spec) {
  const Field name = spec.get("externalName");
  if (manifest.service.type != ServiceType::kExternalName) return;
  std::string_view text = manifest.external_name;
  if (text.ends_with('.')) text.remove_suffix(1);
  if (!name.present()) {
    spec.field().error("externalName is missing");
  } else if (name.is_text() && !is_dns_subdomain(text)) {
    name.must("be a domain name");
  }
  for (const char* key : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
    const Field field = spec.get(key);
    const bool is_empty = field.is_text() && field.text().empty();
    if (field.present() && !is_empty) field.error("may not stand beside type: ExternalName");
  }
}

void check_headless(const Service& service, Map& spec) {
  const bool outside =
      service.type == ServiceType::kNodePort || service.type == ServiceType::kLoadBalancer;
  if (!service.headless || !outside) return;
  spec.get("clusterIP").error("None wants type: ClusterIP");
}

void check_outside(const Service& service, Map& spec) {
  const Field policy = spec.get("externalTrafficPolicy");
  if (policy.present() && !service.has_outside()) {
    policy.error("wants type: NodePort or LoadBalancer, or externalIPs");
  }
  if (service.type != ServiceType::kLoadBalancer) {
    for (const char* key :
         {"loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "loadBalancerClass"}) {
      const Field field = spec.get(key);
      const bool is_empty =
          field.present() && field.yaml()->type == Yaml::Type::kList && field.yaml()->items.empty();
      if (field.present() && !is_empty) field.error("wants type: LoadBalancer");
    }
  }
  const bool has_check = service.type == ServiceType::kLoadBalancer &&
                         service.external_policy == TrafficPolicy::kLocal;
  if (service.health_check_port != 0 && !has_check) {
    spec.get("healthCheckNodePort")
        .error("wants type: LoadBalancer and externalTrafficPolicy: Local");
  }
}

}  // namespace

void check_service(const ServiceManifest& manifest, Map& spec) {
  check_name(manifest, spec.field());
  check_ports(manifest.service, spec);
  check_external_name(manifest, spec);
  if (manifest.service.type != ServiceType::kExternalName) check_families(manifest, spec);
  check_headless(manifest.service, spec);
  check_outside(manifest.service, spec);
}

}  // namespace weir::k8s
