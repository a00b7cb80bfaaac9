// Status, EndpointInfo and Version as JSON, each struct's fields listed once for both ways.

#include "api/json_fields.h"
#include "api/status.h"

namespace weir::api {

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), Device>
{
  visit("name", self.name);
  visit("ifindex", self.ifindex);
  visit("mtu", self.mtu);
  visit("role", self.role);
  visit("xdp", self.xdp);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), OtherProgram>
{
  visit("link", self.link);
  visit("direction", self.direction);
  visit("attach", self.attach);
  visit("name", self.name);
  visit("order", self.order);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), Pool>
{
  visit("cidr", self.cidr);
  visit("size", self.size);
  visit("used", self.used);
  visit("resting", self.resting);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), MapStatus>
{
  visit("name", self.name);
  visit("entries", self.entries);
  visit("capacity", self.capacity);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), PodDrops>
{
  visit("pod", self.pod);
  visit("packets", self.packets);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), DropTotal>
{
  visit("reason", self.reason);
  visit("packets", self.packets);
  visit("pods", self.pods);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), HookTotals>
{
  visit("hook", self.hook);
  visit("packets_in", self.packets_in);
  visit("bytes_in", self.bytes_in);
  visit("forwarded", self.forwarded);
  visit("to_stack", self.to_stack);
  visit("drops", self.drops);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), Status>
{
  visit("node", self.node);
  visit("waiting_for", self.waiting_for);
  visit("version", self.version);
  visit("build_id", self.build_id);
  visit("uptime_seconds", self.uptime_seconds);
  visit("kernel", self.kernel);
  visit("attach", self.attach);
  visit("attach_reason", self.attach_reason);
  visit("tunnel", self.tunnel);
  visit("adopted", self.adopted);
  visit("pod_mtu", self.pod_mtu);
  visit("gso_max_size", self.gso_max_size);
  visit("gso_limit", self.gso_limit);
  visit("devices", self.devices);
  visit("other_programs", self.other_programs);
  visit("pools", self.pools);
  visit("maps", self.maps);
  visit("connections", self.connections);
  visit("events_lost", self.events_lost);
  visit("endpoints", self.endpoints);
  visit("hooks", self.hooks);
  visit("warnings", self.warnings);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), EndpointInfo>
{
  visit("namespace", self.namespace_);
  visit("pod", self.pod);
  visit("workload", self.workload);
  visit("node", self.node);
  visit("addresses", self.addresses);
  visit("interface", self.interface);
  visit("ifindex", self.ifindex);
  visit("mac", self.mac);
  visit("container_id", self.container_id);
}

void fields(auto& self, const auto& visit)
  requires by_fields::Is<decltype(self), Version>
{
  visit("version", self.version);
  visit("build_id", self.build_id);
  visit("node", self.node);
}

using by_fields::dump;
using by_fields::ordered_json;
using by_fields::parse;
using by_fields::write;

std::string to_json(const Status& status) { return dump(write(status)); }
std::string to_json(const std::vector<EndpointInfo>& endpoints) { return dump(write(endpoints)); }
std::string to_json(const Version& version) { return dump(write(version)); }
std::string error_json(std::string_view text) { return dump({{"error", text}}); }

Result<Status> parse_status(std::string_view json) { return parse<Status>(json, "status"); }

Result<std::vector<EndpointInfo>> parse_endpoints(std::string_view json) {
  return parse<std::vector<EndpointInfo>>(json, "endpoints");
}

Result<Version> parse_version(std::string_view json) { return parse<Version>(json, "version"); }

std::string parse_error_text(std::string_view json) {
  const auto document = ordered_json::parse(json, nullptr, false);
  if (document.is_object() && document.contains("error") && document["error"].is_string()) {
    return document["error"].get<std::string>();
  }
  return std::string(json);
}

}  // namespace weir::api
