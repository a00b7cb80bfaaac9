#include "agent.h"

#include <fmt/format.h>

namespace weir::cases {
namespace {

constexpr int kMaxRounds = 200;

template <typename Value>
Value without_version(Value value) {
  value.version = 0;
  return value;
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
      endpoints_(world.endpoints),
      routes_(world.routes),
      netns_(world.netns) {
  static_cast<void>(endpoints_.adopt());
  static_cast<void>(routes_.adopt());
  static_cast<void>(netns_.adopt());
  const Snapshot& snapshot = world.store.snapshot();
  for (const auto& [key, node] : snapshot.nodes) store_.upsert(Object(node));
  for (const auto& [key, pod] : snapshot.pods) store_.upsert(Object(pod));
  for (const auto& [handle, endpoint] : snapshot.endpoints) store_.upsert(endpoint);
}

void Agent::take(const Event& event) {
  apply(store_, event);
  apply(world_.store, event);
}

std::optional<std::string> Agent::settle() {
  compiled_ = compile(store_.snapshot(), config_);
  for (int round = 0; round < kMaxRounds; ++round) {
    if (write()) return check_tables();
  }
  return fmt::format("the maps did not settle in {} rounds", kMaxRounds);
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
