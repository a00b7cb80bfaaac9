// YAML of an EndpointSlice -> EndpointSliceManifest.
#include <fmt/format.h>

#include <algorithm>

#include "k8s/kinds.h"
#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

// As in the API.
constexpr std::size_t kMaxEndpoints = 1000;
constexpr std::size_t kMaxAddresses = 100;
constexpr std::size_t kMaxPorts = 100;
constexpr std::size_t kMaxHints = 8;

SlicePort read_slice_port(const Field& field) {
  Map map(field);
  SlicePort out;
  out.name = map.get("name").dns_label();
  out.protocol = read_protocol(map.get("protocol"));
  out.port = static_cast<std::uint16_t>(map.get("port").number(1, 65535, 0));
  map.rest({"appProtocol"});
  return out;
}

void read_slice_ports(const Field& field, EndpointSlice& out) {
  const auto items = field.items();
  if (items.size() > kMaxPorts) return field.error(fmt::format("must be at most {}", kMaxPorts));
  std::set<std::string> names;
  for (const Field& item : items) {
    out.ports.push_back(read_slice_port(item));
    const std::string name = out.ports.back().name;
    if (!names.insert(name).second) item.error(fmt::format("another port is named '{}'", name));
  }
}

void read_addresses(const Field& field, Family family, SliceEndpoint& out) {
  const auto items = field.items();
  if (field.present() && (items.empty() || items.size() > kMaxAddresses)) {
    return field.error(fmt::format("must be 1 to {}", kMaxAddresses));
  }
  for (const Field& item : items) {
    if (!item.present()) item.must("be an address");
    const auto address = read_reachable(item);
    if (address && address->family() != family) item.must("be of the slice's addressType");
    if (address) out.addresses.push_back(*address);
  }
}

std::vector<std::string> read_hint(const Field& field) {
  std::vector<std::string> out;
  const auto items = field.items();
  if (items.size() > kMaxHints) field.error(fmt::format("must be at most {}", kMaxHints));
  for (const Field& item : items) {
    Map map(item);
    const Field name = map.need("name");
    out.push_back(name.text());
    if (std::ranges::count(out, out.back()) > 1) name.error("is there twice");
    map.rest({});
  }
  return out;
}

void read_hints(const Field& field, SliceEndpoint& out) {
  Map map(field);
  out.hinted_zones = read_hint(map.get("forZones"));
  out.hinted_nodes = read_hint(map.get("forNodes"));
  map.rest({});
}

void read_conditions(const Field& field, SliceEndpoint& out) {
  Map map(field);
  out.ready = map.get("ready").flag(true);
  out.serving = map.get("serving").flag(true);
  out.terminating = map.get("terminating").flag();
  map.rest({});
}

std::string read_target(const Field& field, const std::string& namespace_) {
  Map map(field);
  const std::string kind = map.get("kind").text();
  const std::string name = map.get("name").text();
  const std::string space = map.get("namespace").text();
  map.rest({"apiVersion", "fieldPath", "resourceVersion", "uid"});
  return kind == "Pod" && (space.empty() || space == namespace_) ? name : std::string();
}

SliceEndpoint read_slice_endpoint(const Field& field, const EndpointSlice& slice) {
  Map map(field);
  SliceEndpoint out;
  read_addresses(map.need("addresses"), slice.family, out);
  read_conditions(map.get("conditions"), out);
  out.node = map.get("nodeName").text();
  out.zone = map.get("zone").text();
  read_hints(map.get("hints"), out);
  out.pod = read_target(map.get("targetRef"), slice.namespace_);
  map.rest({"deprecatedTopology", "hostname"});
  return out;
}

// As read_endpoint_slice() of kinds.h.
std::string service_of(const Labels& labels) {
  if (labels.contains(kHeadlessLabel) || labels.contains(kProxyLabel)) return {};
  const auto it = labels.find(kServiceLabel);
  return it != labels.end() ? it->second : std::string();
}

}  // namespace

std::optional<EndpointSliceManifest> read_endpoint_slice(Meta meta, Map& object) {
  EndpointSliceManifest out;
  out.meta = std::move(meta);
  out.slice.namespace_ = out.meta.namespace_;
  out.slice.name = out.meta.name;
  out.slice.service = service_of(out.meta.labels);
  const Field type = object.need("addressType");
  const std::string word = type.word({"IPv4", "IPv6", "FQDN"}, "");
  if (word == "FQDN") type.ignored();
  out.slice.family = word == "IPv6" ? Family::kIpv6 : Family::kIpv4;
  const Field endpoints = object.need("endpoints");
  const Field ports = object.get("ports");
  if (word == "FQDN" || word.empty()) return std::nullopt;
  const auto items = endpoints.items();
  if (items.size() > kMaxEndpoints) {
    endpoints.error(fmt::format("must be at most {}: use more slices", kMaxEndpoints));
    return std::nullopt;
  }
  for (const Field& item : items) {
    out.slice.endpoints.push_back(read_slice_endpoint(item, out.slice));
  }
  read_slice_ports(ports, out.slice);
  return out;
}

}  // namespace weir::k8s
