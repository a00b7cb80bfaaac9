#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "case.h"
#include "compile/compile.h"
#include "compile/service_tracker.h"
#include "dataplane/reconcile.h"
#include "fake_table.h"
#include "state/names.h"
#include "state/store.h"

namespace weir::cases {

using EndpointTable = FakeTable<weir_addr, weir_endpoint>;
using RouteTable = FakeTable<weir_route_key, weir_route>;
using NetnsTable = FakeTable<std::uint64_t, weir_netns>;

// What survives a restart: the maps in the kernel, and the objects and sandboxes in the world.
struct World {
  explicit World(std::uint32_t seed) : random(seed) {}

  std::mt19937 random;
  EndpointTable endpoints{random};
  RouteTable routes{random};
  NetnsTable netns{random};
  Store store;
};

// One life of the agent: the real store, compiler and reconciler, on tables in memory.
class Agent {
 public:
  // Adopts what the world's tables hold, and takes in the world's objects.
  Agent(World& world, const NodeConfig& config);

  void take(const Event& event);
  // Compiles, writes, and writes again until nothing fails. Text: the maps do not hold what they
  // should.
  std::optional<std::string> settle();

  const Compiled& compiled() const { return compiled_; }
  // Of Services and hostPorts.
  const ServiceChanges& services() const { return services_; }
  // One line for each entry, and what contradicts each other; as the .case files name them.
  std::vector<std::string> lines() const;
  std::vector<std::string> conflicts() const;
  const Names& names() const { return names_; }

 private:
  void take_services();
  bool write();
  std::optional<std::string> check_tables() const;

  World& world_;
  const NodeConfig& config_;
  Store store_;
  Names names_{store_};
  ServiceTracker tracker_;
  Reconciler<EndpointTable> endpoints_;
  Reconciler<RouteTable> routes_;
  Reconciler<NetnsTable> netns_;
  std::uint32_t epoch_ = 0;
  Compiled compiled_;
  ServiceChanges services_;
};

}  // namespace weir::cases
