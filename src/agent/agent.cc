// The start; the node's network, pods, events and ended connections -> flows.
#include "agent/agent.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdio>
#include <future>
#include <set>

#include "agent/kernel.h"
#include "agent/sysctls.h"
#include "k8s/api_source.h"
#include "sandbox/conflist.h"
#include "sys/cgroup.h"
#include "sys/memory.h"
#include "sys/netns.h"
#include "sys/node_links.h"
#include "sys/rcu.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kEventPoll = 20ms;  // while flows are coming
constexpr int kIdlePolls = 3;      // then the kernel is asked to wake us
constexpr auto kDeadEvery = 10s;
constexpr auto kLookAtPrograms = 2ms;

// A descriptor of our own for the loop: asio closes what it is given.
int duplicate(int fd) { return dup(fd); }

// None for a pod's hostPort, which is no Service.
std::optional<ServiceName> name_of(std::optional<ServicePortKey> port) {
  if (!port || port->is_host_port()) return std::nullopt;
  return ServiceName{std::move(port->object.namespace_), std::move(port->object.name),
                     std::move(port->port)};
}

}  // namespace

Agent::Agent(AgentOptions options)
    : options_(std::move(options)),
      flows_([this](const Address& address) -> const Name& { return names_.find(address); },
             FlowRecorder::kHistory, WallClock(),
             [this](std::uint32_t ifindex) { return pod_behind(ifindex); },
             [this](const Flow& flow) { return service_of(flow); },
             [this](std::uint32_t reason) { return kernel_reason(reason); }),
      pod_split_(options_.node, !options_.has_pod_endpoints()) {
  store_.listen([this](const StoreChange& change) {
    const auto* row = std::get_if<RowChange<Service>>(&change);
    if (row != nullptr && row->after == nullptr) flows_.services().forget(row->before->key());
  });
}

// What the packet path does not say, for drops and at another node, the address does.
std::optional<ServiceName> Agent::service_of(const Flow& flow) const {
  if (flow.service_id != 0 && services_ != nullptr) {
    if (auto name = name_of(plane_->service_tables().port_of(flow.service_id))) return name;
  }
  if (flow.destination.name->kind == NameKind::kPod) return std::nullopt;
  const auto protocol = static_cast<Protocol>(flow.protocol);
  return names_.find_service(flow.destination.address, flow.destination.port, protocol);
}

const Name* Agent::pod_behind(std::uint32_t ifindex) const {
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints) {
    if (endpoint.host_ifindex == ifindex) return &names_.find(endpoint.addresses.front());
  }
  return nullptr;
}

Agent::~Agent() { sweeper_.reset(); }  // its work needs the others

// A machine that has version 1 only lacks the socket hooks, no more: attach_sockets warns.
Result<void> Agent::check_cgroup() const {
  if (options_.cgroup.empty() || is_cgroup2(cgroup2_below(options_.cgroup))) return {};
  const std::string elsewhere = find_cgroup2();
  if (elsewhere.empty() || !options_.settings.has_sockets()) return {};
  return Error(Code::kInvalid,
               fmt::format("--cgroup {}: no folder of a cgroup v2 hierarchy; there is one at {}",
                           options_.cgroup, elsewhere));
}

Result<void> Agent::check_machine() const {
  WEIR_TRY(check(Kernel::ask()));
  WEIR_TRY(check(options_.settings));
  WEIR_TRY(check_cgroup());
  WEIR_TRY(make_dirs(options_.run_dir));
  WEIR_TRY(make_dirs(options_.state_dir));
  if (!is_on_bpffs(options_.bpffs)) {
    return Error(
        Code::kInvalid,
        fmt::format("--bpffs {}: not on a BPF file system; mount one there: mount -t bpf bpf {}",
                    options_.bpffs, options_.bpffs));
  }
  return {};
}

Result<void> Agent::start() {
  WEIR_TRY(check_machine());
  WEIR_ASSIGN(auto lock, LockFile::acquire(options_.run_dir + "/agent.pid"));
  lock_ = std::make_unique<LockFile>(std::move(lock));
  ExpeditedRcu::end_abandoned();
  // What may be refused comes before anything is made.
  WEIR_TRY(open_source());
  WEIR_TRY(open_network());
  WEIR_TRY(open_dataplane());
  sweeper_ = std::make_unique<Sweeper>(loop_, connection_table(*plane_), options_.settings.ct_max,
                                       [this](auto event) { flows_.on_event(event); });
  for (const auto& text : plane_->notes()) spdlog::info("{}", text);
  warnings_ = plane_->warnings();
  check_ports();
  for (const auto& text : warnings_) spdlog::warn("{}", text);
  // Pods reach each other while Services are listed still.
  WEIR_TRY(refresh_uplinks());
  WEIR_TRY(open_sandboxes());
  realize_as_far();
  if (!has_earlier_services()) WEIR_TRY(await_all_objects());
  serves_before_synced_ = !synced_;
  if (synced_) objects_are_complete();
  if (!synced_) say_while_waiting();
  attach_sockets();
  attach_kernel_drop();
  plane_->forget_other_builds();
  WEIR_TRY(serve());
  WEIR_TRY(tell_ready());
  spdlog::info(
      "ready: node {}, programs {} {}, {} pods, {} ms", options_.node, plane_->build(),
      plane_->adopted() ? "adopted" : "loaded", store_.snapshot().endpoints.size(),
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started_).count());
  release_start_memory();
  return {};
}

// The verifier takes as long as the lists of a large cluster: they come meanwhile.
Result<void> Agent::open_dataplane() {
  auto opening = std::async(std::launch::async,
                            [this] { return Dataplane::open(options_.bpffs, options_.settings); });
  while (opening.wait_for(0ms) != std::future_status::ready) source_->poll(kLookAtPrograms);
  WEIR_ASSIGN(plane_, opening.get());
  return {};
}

void Agent::open_services() {
  if (options_.settings.services == 0) return;
  ServiceContext context;
  context.node = options_.node;
  context.external_ips = options_.settings.external_ips != 0;
  context.dsr = options_.settings.dsr != 0;
  services_ = std::make_unique<ServiceFlow>(loop_, store_, *plane_, std::move(context));
  services_->start();
  service_view_ = std::make_unique<ServiceView>(
      store_, services_->tracker(), services_->health(), flows_.services(),
      ServiceView::Tables{
          .id_of = [this](const auto& key) { return plane_->service_tables().id_of(key); },
          .complaint = [this](const auto& key) { return plane_->service_tables().complaint(key); },
      });
}

// Ports of translated connections that the host's sockets could choose as well.
void Agent::check_ports() {
  const auto text = read_sysctl("net/ipv4/ip_local_port_range");
  int first = 0;
  int last = 0;
  if (!text || std::sscanf(text->c_str(), "%d %d", &first, &last) != 2) return;
  if (first > options_.settings.nat_port_max || last < options_.settings.nat_port_min) return;
  warnings_.push_back(fmt::format(
      "ports {}-{} of translated connections overlap this host's own, net.ipv4.ip_local_port_range "
      "{}-{}: move one of them (--nat-port-min, --nat-port-max)",
      options_.settings.nat_port_min, options_.settings.nat_port_max, first, last));
}

// --- pods
// ------------------------------------------------------------------------------------------

Result<void> Agent::open_sandboxes() {
  SandboxConfig config;
  config.state_dir = options_.state_dir;
  config.pod_cidrs = own_ranges_;
  config.link = link_options();
  const auto post = [this](std::function<void()> work) {
    boost::asio::post(loop_, std::move(work));
  };
  WEIR_ASSIGN(sandboxes_,
              Sandboxes::open(std::move(config), *this, post,
                              [](const std::string& text) { spdlog::info("{}", text); }));
  WEIR_TRY(sandboxes_->restore());
  restored_ = true;
  forget_stale_pins();
  forget_kernel_drops();
  return {};
}

PodLinkOptions Agent::link_options() const {
  PodLinkOptions options;
  options.mtu = uplinks_.pod_mtu;
  options.gso_max_size = big_tcp_.size;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Address address = uplinks_.node_address(family);
    if (!address.is_zero()) options.node_addresses.push_back(address);
  }
  return options;
}

// Pins of links that went while no agent was there.
void Agent::forget_stale_pins() {
  std::set<std::string> live;
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints)
    live.insert(endpoint.host_ifname);
  for (const Uplink& device : uplinks_.devices) live.insert(device.name);
  if (uplinks_.tunnel != 0) live.insert(kTunnelName);
  if (options_.settings.services != 0) live.insert(kLoopbackName);
  for (const std::string& name : plane_->attached()) {
    if (!live.contains(name)) plane_->detach(name);
  }
}

// Without socket hooks the packet path does all the work.
void Agent::attach_sockets() {
  const std::string cgroup =
      options_.cgroup.empty() ? find_cgroup2() : cgroup2_below(options_.cgroup);
  const auto attached = !is_cgroup2(cgroup) && options_.settings.has_sockets()
                            ? Error(Code::kNotFound, "no cgroup v2 hierarchy is mounted")
                            : plane_->attach_sockets(cgroup);
  if (attached) {
    sockets_cgroup_ = cgroup;
    return;
  }
  plane_->detach_sockets();
  warnings_.push_back("Services are served without socket hooks: " + attached.error().text());
  spdlog::warn("{}", warnings_.back());
}

void Agent::attach_kernel_drop() {
  auto attached = plane_->attach_kernel_drop();
  if (attached) return;
  warnings_.push_back("what the kernel drops of pods' packets is not counted: " +
                      attached.error().text());
  spdlog::warn("{}", warnings_.back());
}

void Agent::forget_kernel_drops() {
  const auto& endpoints = store_.snapshot().endpoints;
  plane_->forget_kernel_drops([&](std::uint32_t pod) { return !endpoints.contains(pod); });
}

// To read the kernel's types takes a few ms: not before the first drop.
std::string Agent::kernel_reason(std::uint32_t reason) {
  if (!kernel_reasons_) {
    auto read = KernelReasons::read();
    if (!read) return fmt::to_string(reason);
    kernel_reasons_ = std::move(*read);
  }
  return kernel_reasons_->name(reason);
}

std::vector<KernelDropTotal> Agent::kernel_drops() {
  std::vector<KernelDropTotal> out;
  const auto& endpoints = store_.snapshot().endpoints;
  for (const KernelDrops& drops : plane_->kernel_drops()) {
    KernelDropTotal total{kernel_reason(drops.reason), "", "", drops.count};
    if (drops.pod != 0) {
      const auto endpoint = endpoints.find(drops.pod);
      if (endpoint == endpoints.end()) continue;
      total.namespace_ = endpoint->second.pod_namespace;
      total.pod = endpoint->second.pod_name;
    }
    out.push_back(std::move(total));
  }
  return out;
}

void Agent::collect_dead_soon() {
  dead_timer_.expires_after(kDeadEvery);
  dead_timer_.async_wait([this](const auto& error) {
    if (error) return;
    refresh_big_tcp();
    sandboxes_->sweep();
    restore_programs();
    collect_dead_soon();
  });
}

// --- flows
// -----------------------------------------------------------------------------------------

void Agent::on_event(std::span<const std::byte> event) {
  flows_.on_event(event);
  if (event.size() != sizeof(weir_event)) return;
  const auto* head = reinterpret_cast<const weir_event*>(event.data());
  const bool full = head->type == WEIR_EVENT_DROP && head->reason == WEIR_DROP_CT_FULL;
  if (full) sweeper_->hurry();
}

// Asleep until the kernel wakes us.
void Agent::watch_events() {
  events_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const auto& error) {
                             if (!error) poll_events(0);
                           });
  plane_->ask_to_wake();
  if (events_->drain() > 0) {
    events_ready_.cancel();
    poll_events(0);
  }
}

// Awake: an interrupt per event would cost more than the event.
void Agent::poll_events(int idle_rounds) {
  const bool idle = events_->drain() == 0;
  if (idle && idle_rounds >= kIdlePolls) return watch_events();
  events_timer_.expires_after(kEventPoll);
  events_timer_.async_wait([this, next = idle ? idle_rounds + 1 : 0](const auto& error) {
    if (!error) poll_events(next);
  });
}

// --- serving
// ---------------------------------------------------------------------------------------

void Agent::watch_source() {
  source_ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [this](const auto& error) {
                             if (error) return;
                             source_->dispatch();
                             watch_source();
                           });
}

Result<void> Agent::serve() {
  WEIR_ASSIGN(events_, plane_->read_events([this](auto event) { on_event(event); }));
  source_ready_.assign(duplicate(source_->fd()));
  network_ready_.assign(duplicate(monitor_->fd()));
  events_ready_.assign(duplicate(events_->fd()));
  watch_source();
  watch_network();
  watch_events();
  sweeper_->start();
  collect_dead_soon();
  api_.reset();  // removes the socket file
  WEIR_ASSIGN(api_, api::Server::listen(loop_, options_.run_dir + "/agent.sock", *this));
  WEIR_ASSIGN(cni_, CniServer::open(loop_, options_.run_dir + "/cni.sock", *sandboxes_));
  return {};
}

// Only now are pods welcome: before, the runtime knows no network and the scheduler sends none.
Result<void> Agent::tell_ready() {
  if (!options_.cni_conf_dir.empty()) {
    const std::string path = options_.cni_conf_dir + "/" + cni::kConflistFile;
    const std::string text =
        cni::conflist_text(options_.run_dir, options_.state_dir, options_.settings.services != 0);
    if (auto written = write_file_atomic(path, text, 0644); !written) {
      return written.error().within("--cni-conf-dir");
    }
    warn_of_other_networks();
  }
  if (api_source_ == nullptr) return {};
  for (const auto& text : warnings_) event_writer_->warn("AgentWarns", text);
  node_writer_ = std::make_unique<NodeWriter>(
      options_.node, api_source_->client(), api_source_->poller(),
      [](const std::string& text) { spdlog::warn("objects: {}", text); });
  node_writer_->network_is_ready();
  return {};
}

// Runtimes take the first file of the folder.
void Agent::warn_of_other_networks() {
  const auto files = list_dir(options_.cni_conf_dir);
  for (const std::string& file : files.value_or(std::vector<std::string>())) {
    const bool is_network =
        file.ends_with(".conf") || file.ends_with(".conflist") || file.ends_with(".json");
    if (!is_network || file == cni::kConflistFile) continue;
    warnings_.push_back(fmt::format(
        "{}/{} is of another network{}", options_.cni_conf_dir, file,
        file < cni::kConflistFile ? ", and container runtimes take it before Weir's: remove it"
                                  : "; container runtimes take Weir's before it"));
    spdlog::warn("{}", warnings_.back());
  }
}

}  // namespace weir
