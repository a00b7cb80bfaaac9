// Service, slices, the tracker's decisions and what was counted -> api::ServiceInfo.

#include "agent/service_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "compile/service_frontends.h"

namespace weir {
namespace {

std::string_view kind_name(FrontendKind kind) {
  switch (kind) {
    case FrontendKind::kClusterIp:
      return "ClusterIP";
    case FrontendKind::kLoadBalancer:
      return "LoadBalancer";
    case FrontendKind::kExternalIp:
      return "ExternalIP";
    case FrontendKind::kHostPort:
      return "HostPort";
    case FrontendKind::kNodePort:
      return "NodePort";
  }
  return "?";
}

std::string_view use_text(EndpointUse use) {
  switch (use) {
    case EndpointUse::kServes:
      return "";
    case EndpointUse::kNotReady:
      return "not ready";
    case EndpointUse::kTerminating:
      return "terminating";
    case EndpointUse::kOtherZone:
      return "other zone";
    case EndpointUse::kOtherNode:
      return "other node";
    case EndpointUse::kNoSuchPort:
      return "no such port";
    case EndpointUse::kOtherFamily:
      return "other family";
    case EndpointUse::kNoWeight:
      return "weight 0";
  }
  return "?";
}

std::string_view policy_name(TrafficPolicy policy) {
  return policy == TrafficPolicy::kLocal ? "Local" : "Cluster";
}

std::string_view family_name(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }

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

api::ServiceBackendInfo backend_of(const EndpointState& state) {
  api::ServiceBackendInfo made;
  made.address = state.address.to_string();
  made.port = state.port;
  made.pod = state.pod;
  made.node = state.node;
  made.zone = state.zone;
  made.ready = state.ready;
  made.serving = state.serving;
  made.terminating = state.terminating;
  made.weight = state.weight;
  made.unused_cluster = use_text(state.cluster);
  made.unused_local = use_text(state.local);
  return made;
}

api::ServiceTraffic traffic_of(const ServiceCounts& counts) {
  return {.connections = counts.connections,
          .unanswered = counts.unanswered,
          .bytes_in = counts.bytes[0],
          .bytes_out = counts.bytes[1],
          .dropped = counts.drops,
          .answer_ns = counts.median_answer_ns()};
}

// Backends that are no endpoints any more, but still have connections.
void add_former(std::uint32_t id, const api::ServiceUse& use,
                const std::set<std::pair<Address, std::uint16_t>>& known,
                std::vector<api::ServiceBackendInfo>& out) {
  if (id == 0) return;
  for (auto it = use.connections.lower_bound({id, Address(), 0}); it != use.connections.end();
       ++it) {
    const auto& [of, address, port] = it->first;
    if (of != id) break;
    if (known.contains({address, port})) continue;
    api::ServiceBackendInfo& made = out.emplace_back();
    made.address = address.to_string();
    made.port = port;
    made.unused_cluster = made.unused_local = "no endpoint any more";
    made.connections = it->second;
  }
}

}  // namespace

std::vector<api::ServiceInfo> ServiceView::list(const ObjectKey& after, std::size_t most,
                                                const api::ServiceUse& use) const {
  std::vector<api::ServiceInfo> out;
  const auto& services = store_.snapshot().services;
  for (auto it = services.upper_bound(after); it != services.end() && out.size() < most; ++it) {
    out.push_back(describe(it->unpack(), use));
  }
  return out;
}

Result<api::ServiceInfo> ServiceView::one(const ObjectKey& key, const api::ServiceUse& use) const {
  const auto found = store_.snapshot().services.find(key);
  if (found == store_.snapshot().services.end()) {
    return Error(Code::kNotFound, fmt::format("service: there is no Service {}", key.to_string()));
  }
  return describe(found->unpack(), use);
}

api::ServiceInfo ServiceView::describe(const Service& service, const api::ServiceUse& use) const {
  api::ServiceInfo out;
  out.node = tracker_.context().node;
  out.namespace_ = service.namespace_;
  out.name = service.name;
  out.type = service_type_name(service.type);
  out.headless = service.headless;
  out.internal_policy = policy_name(service.internal_policy);
  out.external_policy = policy_name(service.external_policy);
  out.affinity_seconds = service.affinity_seconds;
  out.distribution = distribution_name(service.distribution);
  out.health = health_of(service);
  out.traffic = traffic_of(counters_.of(service.key()));
  out.notes = notes_of(service);
  if (!is_served(service)) return out;
  for (const Address& ip : cluster_ips(service)) {
    for (std::uint16_t i = 0; i < service.ports.size(); ++i) {
      out.ports.push_back(describe_port(service, i, ip.family(), use));
    }
  }
  return out;
}

std::vector<std::string> ServiceView::notes_of(const Service& service) const {
  std::vector<std::string> notes = tracker_.complaints(service.key());
  if (service.other_proxy) {
    notes.push_back(fmt::format("service {}: another proxy's, by its labels; not served here",
                                service.key().to_string()));
  }
  for (const ServicePortKey& key : port_keys(service)) {
    std::string why = tables_.complaint(key);
    if (!why.empty()) notes.push_back(std::move(why));
  }
  return notes;
}

api::ServicePortInfo ServiceView::describe_port(const Service& service, std::uint16_t index,
                                                Family family, const api::ServiceUse& use) const {
  const ServicePort& port = service.ports[index];
  api::ServicePortInfo out;
  out.name = port.name;
  out.protocol = protocol_name(port.protocol);
  out.family = family_name(family);
  out.id = tables_.id_of(port_key(service, port, family));
  out.frontends = frontends(service, index, family);
  std::set<std::pair<Address, std::uint16_t>> known;
  const auto slices = tracker_.slices_of(service.key());
  for (const auto& state : endpoint_states(service, port, family, slices, tracker_.context())) {
    known.insert({state.address, state.port});
    out.backends.push_back(backend_of(state));
    if (out.id != 0) {
      out.backends.back().connections = use.of(out.id, state.address, state.port);
    }
  }
  add_former(out.id, use, known, out.backends);
  return out;
}

std::vector<api::ServiceFrontendInfo> ServiceView::frontends(const Service& service,
                                                             std::uint16_t index,
                                                             Family family) const {
  std::vector<api::ServiceFrontendInfo> out;
  for (const Claim& claim : claims_of(service, tracker_.context().external_ips)) {
    if (!claim.protocol || claim.index != index || claim.address.family() != family) continue;
    if (!tracker_.refusal(service, claim).empty()) continue;
    const bool internal = claim.kind == FrontendKind::kClusterIp;
    api::ServiceFrontendInfo made;
    made.kind = kind_name(claim.kind);
    made.address = claim.address == zero_of(family) ? "*" : claim.address.to_string();
    made.port = claim.port;
    made.policy = policy_name(internal ? service.internal_policy : service.external_policy);
    out.push_back(std::move(made));
  }
  return out;
}

api::ServiceHealthInfo ServiceView::health_of(const Service& service) const {
  api::ServiceHealthInfo out;
  const auto told = health_.told(service.key());
  if (!told) return out;
  out.port = told->health.port;
  out.local_endpoints = told->health.local_endpoints;
  out.trouble = told->trouble;
  return out;
}

}  // namespace weir
