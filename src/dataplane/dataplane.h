#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "abi/capture.h"
#include "abi/conntrack.h"
#include "abi/device.h"
#include "abi/event.h"
#include "abi/metrics.h"
#include "abi/state.h"
#include "base/result.h"
#include "dataplane/attach.h"
#include "dataplane/cgroup_attach.h"
#include "dataplane/events.h"
#include "dataplane/kernel_drops.h"
#include "dataplane/programs.h"
#include "dataplane/reconcile.h"
#include "dataplane/service_maps.h"
#include "dataplane/settings.h"
#include "dataplane/sock_end.h"
#include "dataplane/sweep.h"
#include "dataplane/table.h"
#include "state/entries.h"

namespace weir {

// weir_state, mapped: the agent's side of what every packet reads first.
class StateMapping {
 public:
  static Result<StateMapping> open(int map);
  StateMapping(StateMapping&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  StateMapping& operator=(StateMapping&&) = delete;
  ~StateMapping();

  std::uint64_t epoch() const;
  // What was written before is seen by every packet that reads the new epoch.
  void bump_epoch();
  void set_capture(bool on);
  // The next event interrupts; until then the reader polls.
  void ask_to_wake();
  void set_tunnel(std::uint32_t ifindex);
  // Programs move between TCX and clsact: a packet may meet both.
  void set_moving(bool on);
  std::uint32_t tunnel() const;
  // Of the node's network namespace.
  void set_netns(std::uint64_t cookie);

 private:
  explicit StateMapping(weir_state* state) : state_(state) {}
  weir_state* state_;
};

struct MapUse {
  std::string name;
  std::uint64_t entries = 0;
  std::uint64_t capacity = 0;
};

// Programs, maps and attachments of one node. The only writer of maps; used from one thread, but
// for sweep().
class Dataplane {
 public:
  static Result<std::unique_ptr<Dataplane>> open(const std::string& bpffs,
                                                 const Settings& settings);
  Dataplane(const Dataplane&) = delete;
  Dataplane& operator=(const Dataplane&) = delete;

  const std::string& build() const { return programs_.build; }
  bool adopted() const { return programs_.adopted; }
  // Programs of ingress and egress run by clsact; else by TCX.
  bool by_clsact() const { return settings_.clsact != 0; }
  // What was lost or worked round at open(), and what else it did that is worth a line.
  const std::vector<std::string>& warnings() const { return remarks_.warnings; }
  const std::vector<std::string>& notes() const { return remarks_.notes; }

  // Makes the tables equal to the entries, as far as there is room, then publishes by one epoch.
  Result<void> apply(const Entries& entries);
  // Only the tables of this node's pods: what becomes of a pod is no matter of routes.
  Result<void> apply_pods(const Entries& entries);
  // With Settings::services only. What Services need is written, and published when connections
  // must be judged again.
  ServiceTables::Applied apply_services(const ServiceChanges& changes);
  ServiceTables::Applied retry_services();
  ServiceTables::Applied prune_services();
  const ServiceTables& service_tables() const { return services_->tables(); }

  // Links by which packets leave; tunnel: ifindex of the tunnel device, 0: none.
  Result<void> set_devices(const std::map<std::uint32_t, weir_device>& devices,
                           std::uint32_t tunnel);
  // The kernel's routes or neighbours changed: cached ways out are asked for again.
  void routes_changed() { state_.bump_epoch(); }

  // Each says whether any of its programs was not attached before.
  Result<bool> attach_pod(const std::string& ifname, std::uint32_t ifindex);
  Result<bool> attach_device(const std::string& ifname, std::uint32_t ifindex);
  // With Settings::has_xdp() only. kKernel: the link's driver has none; kExists: others have it.
  Result<bool> attach_xdp(const std::string& ifname, std::uint32_t ifindex) {
    return attacher_.attach(ifname, ifindex, Direction::kXdp, programs_.xdp.get());
  }
  void detach_xdp(const std::string& ifname) { attacher_.detach(ifname, Direction::kXdp); }
  // What this host sends to itself: to_net on the loopback link.
  Result<bool> attach_loopback();
  // What others have attached where we have, too.
  std::vector<OtherProgram> other_programs(const std::string& ifname, std::uint32_t ifindex);
  // Processes of the cgroup get backends at connect() already; with Settings::has_sockets() off,
  // what an earlier run attached is taken away.
  Result<bool> attach_sockets(const std::string& cgroup);
  void detach_sockets() { cgroup_attacher_.detach(); }
  // What the kernel drops is counted and told; with Settings::kernel_drops off, or where the kernel
  // has refused the program (warnings()), no more.
  Result<void> attach_kernel_drop();
  // Of a link that is no longer ours.
  void detach(const std::string& ifname) { attacher_.detach(ifname); }
  // Of a link that is gone.
  void forget(const std::string& ifname) { attacher_.forget(ifname); }
  std::vector<std::string> attached() { return attacher_.attached(); }
  // Another agent finds these programs and tables.
  bool has_pins() const;
  // After everything has been attached: programs of earlier builds are let go.
  void forget_other_builds() {
    programs_.migration.finish();
    weir::forget_other_builds(paths_, programs_.build);
  }

  Result<std::unique_ptr<RingReader>> read_events(RingReader::OnRecord on_event) const {
    return RingReader::open(maps_.events.get(), std::move(on_event));
  }
  void ask_to_wake() { state_.ask_to_wake(); }
  // May run on another thread.
  Result<void> sweep(const weir_sweep& limits,
                     const std::function<void(std::span<const std::byte>)>& on_ended) {
    return run_sweep(programs_, maps_, limits, on_ended);
  }

  // TCP connections that were opened to these addresses are over: who goes on with one is told.
  Result<void> mark_gone(const std::vector<Address>& gone);
  // Connections that were translated at the socket to pods which are gone. May run on another
  // thread.
  Result<std::uint64_t> end_connections(const std::vector<Address>& gone, const NetnsOf& netns_of) {
    if (!settings_.has_sockets()) return 0;
    return weir::end_connections(programs_, maps_, gone, netns_of);
  }

  Result<std::unique_ptr<RingReader>> start_capture(const weir_capture_filter& filter,
                                                    RingReader::OnRecord on_record);
  void stop_capture();

  // Summed over CPUs.
  std::array<weir_metric, WEIR_METRICS> metrics() const;
  std::array<std::uint64_t, WEIR_EVENTS> lost() const;
  // Only what there is of.
  std::vector<KernelDrops> kernel_drops() const;
  // Pods by weir_endpoint.handle.
  void forget_kernel_drops(const std::function<bool(std::uint32_t pod)>& is_gone);
  // connections: how many are in weir_ct, as the last sweep counted.
  std::vector<MapUse> map_use(std::uint64_t connections) const;
  std::uint64_t count_connections() const;

 private:
  using EndpointTable = Table<weir_addr, weir_endpoint>;
  using RouteTable = Table<weir_route_key, weir_route>;
  using NetnsTable = Table<std::uint64_t, weir_netns>;
  using DeviceTable = Table<std::uint32_t, weir_device>;

  // The epoch that is published next.
  std::uint32_t next_version() const;
  Result<void> write_pods(const Entries& entries, bool* changed);
  Result<void> write_routes(const Entries& entries, bool* changed);
  Result<bool> attach_both(const std::string& ifname, std::uint32_t ifindex, const Fd& ingress,
                           const Fd& egress);

  ServiceTables::Applied publish(ServiceTables::Applied applied);
  Dataplane(PinPaths paths, Settings settings, Programs programs, Maps maps, StateMapping state);

  PinPaths paths_;
  Settings settings_;
  Programs programs_;
  Maps maps_;
  StateMapping state_;
  Attacher attacher_;
  CgroupAttacher cgroup_attacher_;
  TracepointAttacher tracepoint_attacher_;
  EndpointTable endpoint_table_;
  RouteTable route_table_;
  NetnsTable netns_table_;
  DeviceTable device_table_;
  Reconciler<EndpointTable> endpoints_{endpoint_table_};
  Reconciler<RouteTable> routes_{route_table_};
  std::unique_ptr<ServiceMaps> services_;  // null: the setting is off
  Reconciler<NetnsTable> netns_{netns_table_};
  Reconciler<DeviceTable> devices_{device_table_};
  Remarks remarks_;
};

}  // namespace weir
