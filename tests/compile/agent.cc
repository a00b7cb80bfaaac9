#include "agent.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "abi/service.h"

namespace weir::cases {
namespace {

constexpr int kMaxRounds = 200;

template <typename Value>
Value without_version(Value value) {
  value.version = 0;
  return value;
}

ServiceContext context_of(const NodeConfig& config) {
  ServiceContext out;
  out.node = config.name;
  return out;
}

std::string place(const Address& address, std::uint16_t port) {
  return fmt::format("{}:{}",
                     address.is_v4() ? address.to_string() : "[" + address.to_string() + "]", port);
}

std::string backends_text(const std::vector<ServiceBackend>& backends) {
  std::vector<std::string> out;
  for (const ServiceBackend& one : backends) {
    out.push_back(place(one.address, one.port));
    if (one.weight != 1) out.back() += fmt::format("*{}", one.weight);
  }
  return out.empty() ? "none" : fmt::format("{}", fmt::join(out, ","));
}

// "weir_service 10.96.0.7:80/TCP of=shop/cart:http ...": what its clients get; the node's own
// have a line of their own, ".../TCP/cluster", where they get something else.
std::string service_line(const ServicePortKey& key, const ServicePortEntries& entries,
                         const ServiceFrontend& row) {
  std::string where = place(row.address, row.port);
  if (row.port != 0) where += fmt::format("/{}", protocol_name(key.protocol));
  if (row.scope == WEIR_SCOPE_CLUSTER) where += "/cluster";
  const auto& backends = row.local_set ? entries.local : entries.cluster;
  const bool limited = (row.flags & WEIR_SERVICE_SOURCE_RANGES) != 0;
  std::vector<std::string> sources;
  for (const Cidr& range : entries.source_ranges) sources.push_back(range.to_string());
  return fmt::format("weir_service {} of={}:{} backends={} affinity={}s from={}", where,
                     key.object.to_string(), key.port,
                     row.port == 0 ? "none" : backends_text(backends), entries.affinity_seconds,
                     limited ? fmt::format("{}", fmt::join(sources, ",")) : "any");
}

void apply(Store& store, const Event& event) {
  if (const auto* upsert = std::get_if<Upsert>(&event)) store.apply(*upsert);
  if (const auto* erase = std::get_if<Erase>(&event)) store.apply(*erase);
  if (const auto* endpoint = std::get_if<Endpoint>(&event)) store.upsert(*endpoint);
  if (const auto* gone = std::get_if<EraseEndpoint>(&event)) store.erase_endpoint(gone->handle);
}

}  // namespace

Agent::Agent(World& world, const NodeConfig& config)
    : world_(world),
      config_(config),
      tracker_(store_, context_of(config)),
      endpoints_(world.endpoints),
      routes_(world.routes),
      netns_(world.netns) {
  static_cast<void>(endpoints_.adopt());
  static_cast<void>(routes_.adopt());
  static_cast<void>(netns_.adopt());
  const Snapshot& snapshot = world.store.snapshot();
  for (const auto& [key, node] : snapshot.nodes) store_.upsert(Object(node));
  for (const auto& [key, pod] : snapshot.pods) store_.upsert(Object(pod));
  for (const auto& row : snapshot.services) store_.upsert(Object(row.unpack()));
  for (const auto& row : snapshot.slices) store_.upsert(Object(row.unpack()));
  for (const auto& [handle, endpoint] : snapshot.endpoints) store_.upsert(endpoint);
}

void Agent::take(const Event& event) {
  apply(store_, event);
  apply(world_.store, event);
}

std::optional<std::string> Agent::settle() {
  compiled_ = compile(store_.snapshot(), config_);
  take_services();
  for (int round = 0; round < kMaxRounds; ++round) {
    if (write()) return check_tables();
  }
  return fmt::format("the maps did not settle in {} rounds", kMaxRounds);
}

void Agent::take_services() {
  for (auto& [key, entries] : tracker_.take()) {
    if (entries.frontends.empty()) {
      services_.erase(key);
    } else {
      services_[key] = std::move(entries);
    }
  }
}

std::vector<std::string> Agent::lines() const {
  std::vector<std::string> out = to_lines(compiled_.entries);
  for (const auto& [key, entries] : services_) {
    for (const ServiceFrontend& row : entries.frontends) {
      out.push_back(service_line(key, entries, row));
    }
  }
  return out;
}

std::vector<std::string> Agent::conflicts() const {
  std::vector<std::string> out = compiled_.conflicts;
  std::ranges::copy(tracker_.conflicts(), std::back_inserter(out));
  return out;
}

bool Agent::write() {
  Reconciler<EndpointTable>::Rows endpoints;
  for (const auto& [key, value] : compiled_.entries.endpoints) endpoints[to_abi(key)] = value;
  Reconciler<RouteTable>::Rows routes;
  for (const auto& [key, value] : compiled_.entries.routes) routes[to_abi(key)] = value;
  Reconciler<NetnsTable>::Rows netns;
  for (const auto& [key, value] : compiled_.entries.netns) netns[key] = value;
  bool changed = false;
  const bool wrote_endpoints = endpoints_.apply(endpoints, ++epoch_, &changed).has_value();
  const bool wrote_routes = routes_.apply(routes, epoch_, &changed).has_value();
  return netns_.apply(netns, epoch_, &changed).has_value() && wrote_endpoints && wrote_routes;
}

std::optional<std::string> Agent::check_tables() const {
  Entries held;
  static_cast<void>(world_.endpoints.for_each([&held](const weir_addr& key, const auto& value) {
    held.endpoints[from_abi(key)] = without_version(value);
  }));
  static_cast<void>(world_.routes.for_each([&held](const weir_route_key& key, const auto& value) {
    held.routes[from_abi(key)] = without_version(value);
  }));
  static_cast<void>(world_.netns.for_each(
      [&held](std::uint64_t key, const weir_netns& value) { held.netns[key] = value; }));
  held.kernel_routes = compiled_.entries.kernel_routes;
  if (held == compiled_.entries) return std::nullopt;
  return fmt::format("the maps hold\n  {}\nand should hold\n  {}",
                     fmt::join(to_lines(held), "\n  "),
                     fmt::join(to_lines(compiled_.entries), "\n  "));
}

}  // namespace weir::cases
