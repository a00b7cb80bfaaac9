#include "dataplane/dataplane.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sys/netns.h"

namespace weir {
namespace {

constexpr std::size_t kNamed = 3;  // of rows that are missing

// Puts before the error which of the rows that are wanted the table lacks.
template <typename Wanted, typename TableType>
Error naming_missing(const Error& why, std::string_view what, const Wanted& wanted,
                     const Reconciler<TableType>& table) {
  std::vector<std::string> missing;
  for (const auto& [key, value] : wanted) {
    if (!table.realized().contains(to_abi(key))) missing.push_back(key.to_string());
  }
  if (missing.empty()) return why;
  const std::size_t named = std::min(missing.size(), kNamed);
  return why.within(fmt::format(
      "{} of {} {} are missing ({}{})", missing.size(), wanted.size(), what,
      fmt::join(missing.begin(), missing.begin() + static_cast<std::ptrdiff_t>(named), ", "),
      named < missing.size() ? ", ..." : ""));
}

}  // namespace

Result<StateMapping> StateMapping::open(int map) {
  void* memory = mmap(nullptr, sizeof(weir_state), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
  if (memory == MAP_FAILED) return errno_error(errno, "map weir_state into memory");
  auto* state = static_cast<weir_state*>(memory);
  // Epoch 0 means "being rewritten" in an entry; a fresh map starts at 1.
  __u64 fresh = 0;
  std::atomic_ref(state->epoch).compare_exchange_strong(fresh, 1);
  return StateMapping(state);
}

StateMapping::~StateMapping() {
  if (state_ != nullptr) munmap(state_, sizeof(weir_state));
}

std::uint64_t StateMapping::epoch() const { return std::atomic_ref(state_->epoch).load(); }
void StateMapping::bump_epoch() { std::atomic_ref(state_->epoch).fetch_add(1); }
void StateMapping::set_capture(bool on) { std::atomic_ref(state_->capture_on).store(on ? 1 : 0); }
void StateMapping::ask_to_wake() { std::atomic_ref(state_->wake).store(1); }
void StateMapping::set_tunnel(std::uint32_t ifindex) {
  std::atomic_ref(state_->tunnel_ifindex).store(ifindex);
}
std::uint32_t StateMapping::tunnel() const {
  return std::atomic_ref(state_->tunnel_ifindex).load();
}

void StateMapping::set_moving(bool on) { std::atomic_ref(state_->moving).store(on ? 1 : 0); }
void StateMapping::set_netns(std::uint64_t cookie) { std::atomic_ref(state_->netns).store(cookie); }

Dataplane::Dataplane(PinPaths paths, Settings settings, Programs programs, Maps maps,
                     StateMapping state)
    : paths_(std::move(paths)),
      settings_(settings),
      programs_(std::move(programs)),
      maps_(std::move(maps)),
      state_(std::move(state)),
      attacher_(paths_, settings.clsact != 0, [this](bool on) { state_.set_moving(on); }),
      cgroup_attacher_(paths_),
      tracepoint_attacher_(paths_),
      endpoint_table_(maps_.endpoint.get(), "weir_endpoint"),
      route_table_(maps_.route.get(), "weir_route"),
      netns_table_(maps_.netns.get(), "weir_netns"),
      device_table_(maps_.device.get(), "weir_device") {}

Result<std::unique_ptr<Dataplane>> Dataplane::open(const std::string& bpffs,
                                                   const Settings& wanted) {
  const PinPaths paths{bpffs};
  Settings settings = wanted;
  if (!has_tcx()) settings.clsact = 1;
  Remarks remarks;
  WEIR_ASSIGN(Programs programs, load_or_adopt(paths, settings, remarks));
  WEIR_ASSIGN(Maps maps, open_maps(paths, settings));
  WEIR_ASSIGN(StateMapping state, StateMapping::open(maps.state.get()));
  WEIR_TRY(make_pin_dir(paths.links()));
  std::unique_ptr<Dataplane> plane(
      new Dataplane(paths, settings, std::move(programs), std::move(maps), std::move(state)));
  plane->remarks_ = std::move(remarks);
  WEIR_TRY(plane->endpoints_.adopt());
  WEIR_TRY(plane->routes_.adopt());
  WEIR_TRY(plane->netns_.adopt());
  WEIR_ASSIGN(const std::uint64_t cookie, current_netns_cookie());
  plane->state_.set_netns(cookie);
  WEIR_TRY(plane->devices_.adopt());
  if (settings.services != 0) {
    WEIR_ASSIGN(plane->services_, ServiceMaps::open(plane->maps_, settings));
  }
  plane->stop_capture();  // of an agent that died in one
  plane->state_.set_moving(false);
  // Or between its writes and their epoch: the tables would look right, and old entries fresh.
  plane->state_.bump_epoch();
  return plane;
}

Result<void> Dataplane::apply(const Entries& entries) {
  bool changed = false;
  auto pods = write_pods(entries, &changed);
  auto routes = write_routes(entries, &changed);
  if (changed) state_.bump_epoch();
  WEIR_TRY(pods);
  return routes;
}

Result<void> Dataplane::apply_pods(const Entries& entries) {
  bool changed = false;
  auto pods = write_pods(entries, &changed);
  if (changed) state_.bump_epoch();
  return pods;
}

std::uint32_t Dataplane::next_version() const {
  return static_cast<std::uint32_t>(state_.epoch() + 1);
}

Result<void> Dataplane::write_pods(const Entries& entries, bool* changed) {
  Reconciler<EndpointTable>::Rows endpoints;
  for (const auto& [address, endpoint] : entries.endpoints) endpoints[to_abi(address)] = endpoint;
  auto written = endpoints_.apply(endpoints, next_version(), changed);
  Reconciler<NetnsTable>::Rows netns;
  for (const auto& [cookie, who] : entries.netns) netns[cookie] = who;
  bool unread = false;  // no packet reads this table: it needs no epoch
  auto callers = netns_.apply(netns, 0, &unread);
  if (!written) {
    return naming_missing(written.error(), "pod addresses", entries.endpoints, endpoints_);
  }
  return callers;
}

Result<void> Dataplane::write_routes(const Entries& entries, bool* changed) {
  Reconciler<RouteTable>::Rows routes;
  for (const auto& [cidr, route] : entries.routes) routes[to_abi(cidr)] = route;
  auto written = routes_.apply(routes, next_version(), changed);
  if (!written) return naming_missing(written.error(), "routes", entries.routes, routes_);
  return {};
}

// The programs compare with bpf_ktime_get_ns(): the same clock.
Result<void> Dataplane::mark_gone(const std::vector<Address>& gone) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const std::uint64_t since = std::chrono::nanoseconds(now).count();
  for (const Address& address : gone) {
    const weir_addr key = to_abi(address);
    if (bpf_map_update_elem(maps_.gone.get(), &key, &since, BPF_ANY) != 0) {
      return errno_error(errno, "map weir_gone");
    }
  }
  state_.bump_epoch();
  return {};
}

Result<bool> Dataplane::attach_sockets(const std::string& cgroup) {
  if (settings_.has_sockets()) return cgroup_attacher_.attach(cgroup, programs_);
  cgroup_attacher_.detach();
  return false;
}

Result<void> Dataplane::attach_kernel_drop() {
  if (programs_.kernel_drop) return tracepoint_attacher_.attach(programs_.kernel_drop.get());
  tracepoint_attacher_.detach();
  return {};
}

ServiceTables::Applied Dataplane::publish(ServiceTables::Applied applied) {
  if (applied.judged_again) state_.bump_epoch();
  return applied;
}

ServiceTables::Applied Dataplane::apply_services(const ServiceChanges& changes) {
  return publish(services_->tables().apply(changes));
}

ServiceTables::Applied Dataplane::retry_services() { return publish(services_->tables().retry()); }

ServiceTables::Applied Dataplane::prune_services() { return publish(services_->tables().prune()); }

Result<void> Dataplane::set_devices(const std::map<std::uint32_t, weir_device>& devices,
                                    std::uint32_t tunnel) {
  Reconciler<DeviceTable>::Rows rows;
  for (const auto& [ifindex, device] : devices) rows[ifindex] = device;
  bool changed = state_.tunnel() != tunnel;
  auto written = devices_.apply(rows, 0, &changed);
  state_.set_tunnel(tunnel);
  if (changed) state_.bump_epoch();
  return written;
}

bool Dataplane::has_pins() const {
  return access(paths_.programs(programs_.build).c_str(), F_OK) == 0;
}

Result<bool> Dataplane::attach_both(const std::string& ifname, std::uint32_t ifindex,
                                    const Fd& ingress, const Fd& egress) {
  WEIR_ASSIGN(const bool in, attacher_.attach(ifname, ifindex, Direction::kIngress, ingress.get()));
  WEIR_ASSIGN(const bool out, attacher_.attach(ifname, ifindex, Direction::kEgress, egress.get()));
  return in || out;
}

Result<bool> Dataplane::attach_pod(const std::string& ifname, std::uint32_t ifindex) {
  return attach_both(ifname, ifindex, programs_.from_pod, programs_.to_pod);
}

Result<bool> Dataplane::attach_device(const std::string& ifname, std::uint32_t ifindex) {
  attacher_.follow_rename(ifname, ifindex);
  return attach_both(ifname, ifindex, programs_.from_net, programs_.to_net);
}

std::vector<OtherProgram> Dataplane::other_programs(const std::string& ifname,
                                                    std::uint32_t ifindex) {
  return attacher_.others(ifname, ifindex);
}

Result<bool> Dataplane::attach_loopback() {
  constexpr std::uint32_t kIndex = 1;
  return attacher_.attach("lo", kIndex, Direction::kEgress, programs_.to_net.get());
}

}  // namespace weir
