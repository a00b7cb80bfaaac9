// The node's own network as it is now -> uplinks, programs on links, pods' links; and what is done
// when others change it.
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <set>

#include "agent/agent.h"
#include "agent/sysctls.h"
#include "k8s/time.h"
#include "sys/netns.h"
#include "sys/node_links.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kBatch = 5ms;  // changes that come together
constexpr auto kRetry = 1s;
constexpr auto kXdpRetry = 200ms;

}  // namespace

Result<void> Agent::open_network() {
  WEIR_ASSIGN(auto netlink, Netlink::open());
  netlink_ = std::make_unique<Netlink>(std::move(netlink));
  WEIR_ASSIGN(auto monitor, NetworkMonitor::open());
  monitor_ = std::make_unique<NetworkMonitor>(std::move(monitor));
  config_.name = options_.node;
  config_.tunnel = options_.settings.tunnel != 0;
  if (options_.settings.services != 0) config_.service_cidrs = options_.service_cidrs;
  config_.non_masquerade_cidrs = options_.non_masquerade_cidrs;
  WEIR_TRY(set_wanted_sysctls(options_.state_dir, options_.sysctls));
  WEIR_ASSIGN(config_.netns_cookie, current_netns_cookie());
  WEIR_TRY(choose_devices(*netlink_, options_.devices));
  return {};
}

Result<void> Agent::refresh_uplinks() {
  WEIR_ASSIGN(uplinks_, find_uplinks(*netlink_, options_.devices, options_.settings));
  const auto has = [this](Family family) {
    return std::ranges::any_of(own_ranges_, [=](const Cidr& c) { return c.family() == family; });
  };
  std::vector<std::string> links = {kLoopbackName};
  for (const Uplink& device : uplinks_.devices) links.push_back(device.name);
  WEIR_TRY(remember_own_sysctls(options_.state_dir, links));
  WEIR_TRY(ensure_forwarding(has(Family::kIpv4), has(Family::kIpv6)));
  config_.addresses = uplinks_.addresses;
  kernel_routes_.reset();  // their source addresses may be others now
  if (auto set = plane_->set_devices(uplinks_.rows(), uplinks_.tunnel); !set) {
    return set.error().within("links to other machines (--device may name fewer)");
  }
  for (const Uplink& device : uplinks_.devices) {
    WEIR_TRY(plane_->attach_device(device.name, device.ifindex));
  }
  if (uplinks_.tunnel != 0) WEIR_TRY(plane_->attach_device(kTunnelName, uplinks_.tunnel));
  xdp_links_.refresh(*plane_, *netlink_, uplinks_.devices, options_.settings.has_xdp());
  if (options_.settings.services != 0) WEIR_TRY(meet_services());
  refresh_big_tcp();
  return {};
}

// The kernel tells nobody of a link's new limit, so this is asked every few seconds.
void Agent::refresh_big_tcp() {
  BigTcp now{.limit = "--big-tcp is off"};
  if (options_.settings.big_tcp != 0) {
    const auto links = list_links(*netlink_);
    if (!links) return spdlog::error("{}", links.error().text());
    std::vector<std::uint32_t> ways;
    for (const Uplink& device : uplinks_.devices) ways.push_back(device.ifindex);
    if (uplinks_.tunnel != 0) ways.push_back(uplinks_.tunnel);
    now = choose_big_tcp(*links, ways);
  }
  if (now.size != big_tcp_.size) {
    spdlog::info("pods' links take packets of {} bytes{}{}", now.size,
                 now.limit.empty() ? "" : ": ", now.limit);
  }
  big_tcp_ = std::move(now);
  if (sandboxes_ != nullptr) sandboxes_->set_link_options(link_options());
}

// The host is a client of Services, too: by its links, and by loopback at its own addresses.
Result<void> Agent::meet_services() {
  WEIR_TRY(plane_->attach_loopback());
  WEIR_TRY(accept_own_addresses(kLoopbackName));
  for (const Uplink& device : uplinks_.devices) WEIR_TRY(accept_own_addresses(device.name));
  if (uplinks_.tunnel != 0) WEIR_TRY(accept_own_addresses(kTunnelName));
  return {};
}

// --- what others change
// ------------------------------------------------------------------------

void Agent::routes_changed_soon() {
  if (std::exchange(routes_pending_, true)) return;
  routes_timer_.expires_after(kBatch);
  routes_timer_.async_wait([this](const auto& error) {
    if (error) return;
    routes_pending_ = false;
    plane_->routes_changed();
  });
}

// Of a link that could not, something has changed.
void Agent::retry_xdp_soon() {
  if (!xdp_links_.lacks_any() || std::exchange(xdp_pending_, true)) return;
  xdp_timer_.expires_after(kXdpRetry);
  xdp_timer_.async_wait([this](const auto& error) {
    if (error) return;
    xdp_pending_ = false;
    xdp_links_.refresh(*plane_, *netlink_, uplinks_.devices, options_.settings.has_xdp());
  });
}

void Agent::watch_network() {
  network_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                            [this](const auto& error) {
                              if (error) return;
                              take_network_changes();
                              watch_network();
                            });
}

// One of ours is gone, or, with native routing, the way to a node may be another one.
bool Agent::may_change_kernel_routes(const NetworkMonitor::Change& route) const {
  if (route.protocol == kNodeRouteProtocol) return route.gone;
  const bool foreign = route.protocol != kPodRouteProtocol && route.protocol != RTPROT_KERNEL;
  return !config_.tunnel && foreign;
}

void Agent::take_network_changes() {
  const auto changes = monitor_->read();
  bool uplinks = !changes || changes->lost;
  bool routes = false;
  for (const auto& one : changes ? changes->changes : std::vector<NetworkMonitor::Change>()) {
    const bool link = one.subject == NetworkMonitor::Subject::kLink;
    uplinks |= one.subject == NetworkMonitor::Subject::kAddress;
    uplinks |= link && uplinks_.has(one.index);
    const bool route = one.subject == NetworkMonitor::Subject::kRoute;
    routes |= route;
    // Its link is an uplink now, where no other choice is made.
    uplinks |= route && one.is_default && !one.gone && options_.devices.empty();
    if (route && may_change_kernel_routes(one)) kernel_routes_.reset();
    if (link && one.gone) sandboxes_->link_gone(one.index);
    if (link && !one.gone) retry_xdp_soon();
  }
  // A device that was missing may be there again, or have its route.
  if (uplinks || !uplinks_problem_.empty()) return uplinks_changed_in(kBatch);
  if (routes) routes_changed_soon();
  if (!kernel_routes_) realize_soon();
}

void Agent::uplinks_changed_in(Clock::duration delay) {
  if (std::exchange(uplinks_pending_, true)) return;
  uplinks_timer_.expires_after(delay);
  uplinks_timer_.async_wait([this](const auto& error) {
    if (error) return;
    uplinks_pending_ = false;
    const auto done = refresh_uplinks();
    const std::string problem = done ? "" : done.error().text();
    if (problem != uplinks_problem_ && !done) spdlog::error("{}", problem);
    uplinks_problem_ = problem;
    if (!done) uplinks_changed_in(kRetry);
    realize_soon();
  });
}

// The kernel tells nobody when a program is taken off a link.
void Agent::restore_programs() {
  programs_problem_.clear();
  if (!is_on_bpffs(options_.bpffs)) {
    programs_problem_ = fmt::format(
        "--bpffs {}: the BPF file system is gone: what is attached goes on while this agent runs; "
        "mount one there again (mount -t bpf bpf {}), then restart the agent",
        options_.bpffs, options_.bpffs);
    return;
  }
  std::vector<std::string> restored;
  const auto note = [&](const std::string& name, const Result<bool>& attached) {
    if (attached && *attached) restored.push_back(name);
    if (attached || attached.error().saved_errno() == ENODEV) return;  // it goes just now
    programs_problem_ = attached.error().text();
  };
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints) {
    note(endpoint.host_ifname, plane_->attach_pod(endpoint.host_ifname, endpoint.host_ifindex));
  }
  for (const Uplink& device : uplinks_.devices) {
    note(device.name, plane_->attach_device(device.name, device.ifindex));
  }
  if (uplinks_.tunnel != 0) note(kTunnelName, plane_->attach_device(kTunnelName, uplinks_.tunnel));
  if (options_.settings.services != 0) note(kLoopbackName, plane_->attach_loopback());
  if (options_.settings.has_sockets() && !sockets_cgroup_.empty()) {
    note(sockets_cgroup_, plane_->attach_sockets(sockets_cgroup_));
  }
  if (options_.settings.has_xdp()) {
    xdp_links_.refresh(*plane_, *netlink_, uplinks_.devices, true);
  }
  if (auto attached = plane_->attach_kernel_drop(); !attached) {
    programs_problem_ = attached.error().text();
  }
  if (!plane_->has_pins()) {
    programs_problem_ =
        "the pins of programs and tables are gone: all goes on, but the next agent begins with "
        "empty "
        "tables";
  }
  if (restored.empty()) return;
  programs_note_ = fmt::format(
      "programs had been taken off links by something else ({}), and are attached again since {}",
      fmt::join(restored, ", "), k8s::format_time(std::time(nullptr)));
  spdlog::warn("{}", programs_note_);
  if (event_writer_ != nullptr) event_writer_->warn("AgentWarns", programs_note_);
}

// --- ways to other nodes
// ------------------------------------------------------------------------

// They are those that compile found, by the addresses where packets to them go.
void Agent::ask_paths(const Entries& entries) {
  if (options_.settings.path_probes == 0) return;
  std::set<Address> peers;
  for (const auto& [cidr, route] : entries.routes) {
    const Address node = from_abi(route.node_addr);
    if (!node.is_zero()) peers.insert(node);
  }
  path_prober_.set_peers(std::move(peers), uplinks_.link_mtu);
}

void Agent::paths_changed() {
  config_.path_mtus.clear();
  std::vector<std::string> notes;
  for (const auto& [address, way] : path_prober_.smaller()) {
    const std::uint32_t headers = uplinks_.link_mtu - uplinks_.pod_mtu;
    config_.path_mtus[address] = static_cast<std::uint16_t>(way.mtu - headers);
    notes.push_back(fmt::format(
        "the way to node {} ({}) takes packets of {} bytes, this node's link {}: {}; pods are told "
        "to send smaller ones",
        node_at(address), address.to_string(), way.mtu, uplinks_.link_mtu,
        way.reporter.is_zero() ? "larger ones vanish without a word"
                               : way.reporter.to_string() + " says so"));
  }
  for (const auto& note : notes) {
    if (std::ranges::find(path_notes_, note) != path_notes_.end()) continue;
    spdlog::warn("{}", note);
    if (event_writer_ != nullptr) event_writer_->warn("AgentWarns", note);
  }
  path_notes_ = std::move(notes);
  realize_soon();
}

std::string Agent::node_at(const Address& address) const {
  for (const auto& [key, node] : store_.snapshot().nodes) {
    if (std::ranges::find(node.addresses, address) != node.addresses.end()) return node.name;
  }
  return "unknown";
}

}  // namespace weir
