// What the agent tells of itself.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/utsname.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <map>

#include "agent/agent.h"
#include "base/version.h"
#include "observe/metrics.h"
#include "sys/links.h"

namespace weir {
namespace {

const char* drop_name(std::uint32_t reason) {
  switch (reason) {
#define WEIR_DROP(name, number, text) \
  case number:                        \
    return #name;
#include "abi/drops.def"
#undef WEIR_DROP
    default:
      return "UNKNOWN";
  }
}

std::vector<api::HookTotals> hook_totals(const std::array<weir_metric, WEIR_METRICS>& metrics) {
  std::vector<api::HookTotals> out;
  for (std::uint8_t hook = 0; hook < WEIR_HOOKS; ++hook) {
    const auto at = [&](std::uint32_t outcome) {
      return metrics[WEIR_METRIC_INDEX(std::uint32_t{hook}, outcome)];
    };
    api::HookTotals totals;
    totals.hook = hook_name(hook);
    totals.packets_in = at(WEIR_OUTCOME_IN).packets;
    totals.bytes_in = at(WEIR_OUTCOME_IN).bytes;
    totals.forwarded = at(WEIR_OUTCOME_FORWARD).packets;
    totals.to_stack = at(WEIR_OUTCOME_STACK).packets;
    for (std::uint32_t reason = 1; reason <= WEIR_DROP_MAX; ++reason) {
      const auto packets = at(WEIR_OUTCOME_DROP + reason).packets;
      if (packets != 0) totals.drops.push_back({drop_name(reason), packets, {}});
    }
    out.push_back(std::move(totals));
  }
  return out;
}

// As if it were a hook where all is dropped.
api::HookTotals kernel_totals(const std::vector<KernelDropTotal>& all) {
  api::HookTotals totals;
  totals.hook = hook_name(WEIR_HOOK_KERNEL);
  std::map<std::string, api::DropTotal> by_reason;
  for (const KernelDropTotal& one : all) {
    api::DropTotal& drop = by_reason[one.reason];
    if (!one.pod.empty()) {
      drop.pods.push_back({one.namespace_ + "/" + one.pod, one.count.packets});
      continue;
    }
    drop.packets = one.count.packets;
    totals.packets_in += one.count.packets;
    totals.bytes_in += one.count.bytes;
  }
  for (auto& [reason, drop] : by_reason) {
    drop.reason = reason;
    std::ranges::sort(drop.pods, std::greater(), &api::PodDrops::packets);
    totals.drops.push_back(std::move(drop));
  }
  return totals;
}

}  // namespace

// A capture's descriptor in the loop, and the end of both.
class Agent::RunningCapture final : public api::Capture {
 public:
  RunningCapture(Agent& agent, std::unique_ptr<RingReader> reader)
      : agent_(agent), reader_(std::move(reader)), ready_(agent.loop_, dup(reader_->fd())) {
    wait();
  }
  ~RunningCapture() override {
    *alive_ = false;
    agent_.plane_->stop_capture();
    agent_.capturing_ = false;
  }

 private:
  void wait() {
    ready_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this, alive = alive_](const auto& error) {
                        if (error || !*alive) return;
                        const auto keep = reader_;  // a callback may end this capture
                        keep->drain();
                        if (*alive) wait();
                      });
  }

  Agent& agent_;
  std::shared_ptr<RingReader> reader_;
  boost::asio::posix::stream_descriptor ready_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

api::Version Agent::version() {
  api::Version out;
  out.version = kVersion;
  out.build_id = plane_->build();
  out.node = options_.node;
  return out;
}

std::vector<api::OtherProgram> Agent::other_programs() {
  std::map<std::string, std::uint32_t> links;
  for (const Uplink& up : uplinks_.devices) links[up.name] = up.ifindex;
  if (uplinks_.tunnel != 0) links[kTunnelName] = uplinks_.tunnel;
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints) {
    links[endpoint.host_ifname] = endpoint.host_ifindex;
  }
  std::vector<api::OtherProgram> out;
  for (const auto& [name, index] : links) {
    for (auto& one : plane_->other_programs(name, index)) {
      const char* direction = one.direction == Direction::kIngress ? "ingress" : "egress";
      out.push_back({name, direction, std::move(one.attach), std::move(one.name),
                     one.before ? "before" : "after"});
    }
  }
  return out;
}

api::Status Agent::status() {
  api::Status out;
  utsname kernel{};
  uname(&kernel);
  out.node = options_.node;
  out.version = kVersion;
  out.build_id = plane_->build();
  out.uptime_seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count());
  out.kernel = kernel.release;
  out.attach = plane_->by_clsact() ? "clsact" : "tcx";
  if (plane_->by_clsact()) {
    out.attach_reason =
        options_.settings.clsact != 0 ? "the setting clsact" : "this kernel has no TCX";
  }
  out.tunnel =
      uplinks_.tunnel != 0 ? fmt::format("vxlan {}", options_.settings.tunnel_port) : "none";
  out.adopted = plane_->adopted();
  out.pod_mtu = uplinks_.pod_mtu;
  out.gso_max_size = big_tcp_.size;
  out.gso_limit = big_tcp_.limit;
  for (const Uplink& up : uplinks_.devices)
    out.devices.push_back({up.name, up.ifindex, up.mtu, "uplink", xdp_links_.state(up.name)});
  if (uplinks_.tunnel != 0) {
    out.devices.push_back({kTunnelName, uplinks_.tunnel, uplinks_.pod_mtu, "tunnel", ""});
  }
  out.other_programs = other_programs();
  for (const PoolUse& pool : sandboxes_->pools()) {
    out.pools.push_back({pool.range, pool.size, pool.used, pool.resting});
  }
  for (const MapUse& map : plane_->map_use(sweeper_->connections())) {
    out.maps.push_back({map.name, map.entries, map.capacity});
  }
  out.connections = sweeper_->connections();
  for (const std::uint64_t lost : plane_->lost()) out.events_lost += lost;
  out.endpoints = store_.snapshot().endpoints.size();
  out.hooks = hook_totals(plane_->metrics());
  out.hooks.push_back(kernel_totals(kernel_drops()));
  out.warnings = warnings_;
  if (!synced_) {
    out.warnings.push_back("what this node serves is as an earlier agent left it: " +
                           lacking_objects());
  }
  for (const auto& text : source_->problems()) out.warnings.push_back("objects: " + text);
  if (pod_endpoint_writer_ != nullptr && !pod_endpoint_writer_->problem().empty()) {
    out.warnings.push_back(pod_endpoint_writer_->problem());
  }
  if (!own_node_problem_.empty()) out.warnings.push_back(own_node_problem_);
  out.warnings.insert(out.warnings.end(), conflicts_.begin(), conflicts_.end());
  if (services_ != nullptr) {
    const auto more = services_->warnings();
    out.warnings.insert(out.warnings.end(), more.begin(), more.end());
  }
  out.warnings.insert(out.warnings.end(), path_notes_.begin(), path_notes_.end());
  out.warnings.insert(out.warnings.end(), realize_errors_.begin(), realize_errors_.end());
  if (!path_prober_.problem().empty()) {
    out.warnings.push_back("ways to other nodes are not measured: " + path_prober_.problem());
  }
  for (const auto* text : {&uplinks_problem_, &programs_problem_, &programs_note_}) {
    if (!text->empty()) out.warnings.push_back(*text);
  }
  return out;
}

std::vector<api::EndpointInfo> Agent::endpoints() {
  std::vector<api::EndpointInfo> out;
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints) {
    api::EndpointInfo info;
    info.namespace_ = endpoint.pod_namespace;
    info.pod = endpoint.pod_name;
    const auto pod = store_.snapshot().pods.find(endpoint.pod());
    if (pod != store_.snapshot().pods.end()) info.workload = pod->second.workload;
    info.node = options_.node;
    for (const Address& address : endpoint.addresses) info.addresses.push_back(address.to_string());
    info.interface = endpoint.host_ifname;
    info.ifindex = endpoint.host_ifindex;
    info.mac = to_string(endpoint.mac);
    info.container_id = endpoint.container_id;
    out.push_back(std::move(info));
  }
  return out;
}

std::string Agent::metrics() {
  Totals totals;
  totals.metrics = plane_->metrics();
  totals.lost = plane_->lost();
  totals.kernel_drops = kernel_drops();
  for (const MapUse& map : plane_->map_use(sweeper_->connections())) {
    totals.maps.push_back({map.name, map.entries, map.capacity});
  }
  if (services_ != nullptr) totals.health = services_->health().answers();
  return metrics_text(totals, flows_.counts(), flows_.services());
}

// By the sweep's iterator, on its thread.
void Agent::count_service_use(OnServiceUse done) {
  sweeper_->post([this, done = std::move(done)] {
    auto use = std::make_shared<api::ServiceUse>();
    const auto counted = plane_->sweep(kTellServices, [&use](std::span<const std::byte> event) {
      const auto flow = decode_event(event);
      if (!flow) return;
      const FlowEnd& backend = flow->backend.address.is_zero() ? flow->destination : flow->backend;
      ++use->connections[{flow->service_id, backend.address, backend.port}];
    });
    boost::asio::post(loop_, [use, counted, done] {
      if (!counted) spdlog::error("{}", counted.error().text());
      done(std::move(*use));
    });
  });
}

std::vector<api::ServiceInfo> Agent::services(const ObjectKey& after, std::size_t most,
                                              const api::ServiceUse& use) {
  if (service_view_ == nullptr) return {};
  return service_view_->list(after, most, use);
}

Result<api::ServiceInfo> Agent::service(const ObjectKey& key, const api::ServiceUse& use) {
  if (service_view_ == nullptr) {
    return Error(Code::kNotFound, "service: none is served, the setting services is off");
  }
  return service_view_->one(key, use);
}

Result<std::unique_ptr<api::Capture>> Agent::start_capture(const weir_capture_filter& filter,
                                                           OnPacket on_packet) {
  if (capturing_) return Error(Code::kExists, "another capture is running on this node");
  WEIR_ASSIGN(auto reader, plane_->start_capture(filter, std::move(on_packet)));
  capturing_ = true;
  return std::unique_ptr<api::Capture>(std::make_unique<RunningCapture>(*this, std::move(reader)));
}

}  // namespace weir
