#include "api/json_fields.h"
#include "api/services.h"

namespace weir::api {

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServiceBackendInfo>
{
  visit("address", self.address);
  visit("port", self.port);
  visit("pod", self.pod);
  visit("node", self.node);
  visit("zone", self.zone);
  visit("ready", self.ready);
  visit("serving", self.serving);
  visit("terminating", self.terminating);
  visit("weight", self.weight);
  visit("unused_cluster", self.unused_cluster);
  visit("unused_local", self.unused_local);
  visit("connections", self.connections);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServiceFrontendInfo>
{
  visit("kind", self.kind);
  visit("address", self.address);
  visit("port", self.port);
  visit("policy", self.policy);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServicePortInfo>
{
  visit("name", self.name);
  visit("protocol", self.protocol);
  visit("family", self.family);
  visit("id", self.id);
  visit("frontends", self.frontends);
  visit("backends", self.backends);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServiceHealthInfo>
{
  visit("port", self.port);
  visit("local_endpoints", self.local_endpoints);
  visit("trouble", self.trouble);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServiceTraffic>
{
  visit("connections", self.connections);
  visit("unanswered", self.unanswered);
  visit("bytes_in", self.bytes_in);
  visit("bytes_out", self.bytes_out);
  visit("dropped", self.dropped);
  visit("answer_ns", self.answer_ns);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), ServiceInfo>
{
  visit("node", self.node);
  visit("namespace", self.namespace_);
  visit("name", self.name);
  visit("type", self.type);
  visit("headless", self.headless);
  visit("internal_policy", self.internal_policy);
  visit("external_policy", self.external_policy);
  visit("affinity_seconds", self.affinity_seconds);
  visit("distribution", self.distribution);
  visit("health", self.health);
  visit("ports", self.ports);
  visit("traffic", self.traffic);
  visit("notes", self.notes);
}

std::string to_json(const ServiceInfo& service) {
  return by_fields::dump(by_fields::write(service));
}

Result<ServiceInfo> parse_service(std::string_view json) {
  return by_fields::parse<ServiceInfo>(json, "service");
}

}  // namespace weir::api
