// Objects and endpoints -> store -> compile -> dataplane.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <map>

#include "agent/access.h"
#include "agent/agent.h"
#include "agent/ranges.h"
#include "k8s/api_source.h"
#include "k8s/directory_source.h"
#include "sys/netns.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kBatch = 5ms;        // objects that come together are realized together
constexpr auto kGoneBatch = 200ms;  // each looks through the sockets of all pods
constexpr auto kFirstList = 30s;
constexpr auto kSayAgain = 30s;
constexpr auto kLookAtSettings = 2s;

bool is_of_pods(Kind kind) { return kind == Kind::kPod || kind == Kind::kPodEndpoint; }

}  // namespace

Result<void> Agent::open_source() {
  if (!options_.objects.empty()) {
    source_ = std::make_unique<DirectorySource>(options_.objects);
  } else {
    WEIR_ASSIGN(auto access, access_of(options_));
    const std::string& own_pods = options_.has_pod_endpoints() ? options_.node : "";
    WEIR_ASSIGN(auto source, ApiSource::open(std::move(access), own_pods));
    api_source_ = source.get();
    source_ = std::move(source);
    event_writer_ = std::make_unique<EventWriter>(options_.node, api_source_->client());
    api_servers_ = std::make_unique<ApiServers>(api_servers_file(options_));
    if (options_.has_pod_endpoints()) {
      pod_endpoint_writer_ = std::make_unique<PodEndpointWriter>(
          store_, options_.node, api_source_->client(), api_source_->poller());
    }
  }
  WEIR_TRY(source_->start(*this));
  WEIR_TRY(listen_while_starting());
  return await_own_node();
}

Result<void> Agent::listen_while_starting() {
  starting_ =
      std::make_unique<Starting>(options_.node, flows_, [this] { return lacking_objects(); });
  WEIR_ASSIGN(api_, api::Server::listen(loop_, options_.run_dir + "/agent.sock", *starting_));
  return {};
}

// Nothing is judged gone before the first complete list. An API server may be long in coming: pods
// wait for it, what runs goes on without it.
Result<void> Agent::await(const std::function<std::string()>& lacking_now) {
  auto say_at = Clock::now() + kFirstList;
  auto look_at = Clock::now() + kLookAtSettings;
  for (std::string lacking; !(lacking = lacking_now()).empty();) {
    source_->poll(100ms);
    loop_.poll();  // signals
    if (loop_.stopped()) return Error(Code::kUnavailable, "stopped while waiting: " + lacking);
    if (Clock::now() > look_at) {
      // It may be the settings that keep it waiting: another start has the new ones.
      WEIR_TRY(check_settings_are_current(options_));
      look_at = Clock::now() + kLookAtSettings;
    }
    if (Clock::now() < say_at) continue;
    if (api_source_ == nullptr) return Error(Code::kNotFound, lacking);
    spdlog::warn("still waiting: {}", lacking);
    event_writer_->warn("AgentWaits", lacking);
    say_at = Clock::now() + kSayAgain;
  }
  return {};
}

Result<void> Agent::await_own_node() {
  WEIR_TRY(await([this] { return lacking_node(); }));
  const Node& node = store_.snapshot().nodes.at(ObjectKey{"", options_.node});
  own_ranges_ = node.pod_cidrs;
  return check_ranges(own_ranges_, options_.service_cidrs, node.addresses);
}

// Without, the tables may be those of an agent that was killed in its own start. Programs of
// another build serve by them as well.
bool Agent::has_earlier_services() const {
  if (options_.settings.services == 0) return plane_->adopted();
  return plane_->service_tables().use().rows > 0;
}

Result<void> Agent::await_all_objects() {
  return await([this] { return lacking_objects(); });
}

// Tables that were adopted hold what an earlier agent knew: with them pods are served at once. What
// would judge something gone waits for all objects.
void Agent::objects_are_complete() {
  open_services();
  if (pod_endpoint_writer_ != nullptr) pod_endpoint_writer_->begin();
}

// As await() does, of an agent that serves meanwhile.
void Agent::say_while_waiting() {
  waiting_timer_.expires_after(kSayAgain);
  waiting_timer_.async_wait([this](const auto& error) {
    if (error || synced_) return;
    const std::string lacking = lacking_objects();
    spdlog::warn("still waiting: {}", lacking);
    event_writer_->warn("AgentWaits", lacking);
    say_while_waiting();
  });
}

void Agent::synced() {
  synced_ = true;
  if (!serves_before_synced_) return;
  boost::asio::post(loop_, [this] {
    objects_are_complete();
    spdlog::info("all objects are known");
  });
}

// Empty: nothing.
std::string Agent::lacking_objects() const {
  if (synced_) return lacking_node();
  const auto problems = source_->problems();
  return "the source of objects has given no complete list" +
         (problems.empty() ? "" : ": " + problems.front());
}

// Of the own Node, and of all that routes are made of.
std::string Agent::lacking_node() const {
  if (!source_->has_all(Kind::kNode)) return lacking_objects();
  const auto& nodes = store_.snapshot().nodes;
  const auto own = nodes.find(ObjectKey{"", options_.node});
  if (own == nodes.end()) {
    return fmt::format("Node {} is not among the objects{}: its pod ranges are unknown",
                       options_.node, options_.objects.empty() ? "" : " in " + options_.objects);
  }
  if (!own->second.pod_cidrs.empty() || api_source_ == nullptr) return {};
  return fmt::format(
      "Node {} has no spec.podCIDRs: let kube-controller-manager give it some "
      "(--allocate-node-cidrs, --cluster-cidr)",
      options_.node);
}

// Addresses of running pods are of the ranges that the agent began with.
bool Agent::keeps_own_node(const Change& change) {
  if (own_ranges_.empty()) return true;
  std::string why;
  if (const auto* erase = std::get_if<Erase>(&change)) {
    if (erase->kind != Kind::kNode || erase->key.name != options_.node) return true;
    why = "is gone";
  } else {
    const auto* node = std::get_if<Node>(&std::get<Upsert>(change).object);
    if (node == nullptr || node->name != options_.node) return true;
    if (node->awaits_agent && node_writer_ != nullptr) node_writer_->network_is_ready();
    if (node->pod_cidrs == own_ranges_) {
      own_node_problem_.clear();
      return true;
    }
    why = "has other spec.podCIDRs than before";
  }
  own_node_problem_ = fmt::format(
      "Node {} {}: this agent goes on with what it was; drain the node and restart the agent",
      options_.node, why);
  spdlog::warn("{}", own_node_problem_);
  if (event_writer_ != nullptr) event_writer_->warn("AgentWarns", own_node_problem_);
  return false;
}

void Agent::change(Change change) {
  if (!keeps_own_node(change)) return;
  std::vector<Change> changes;
  if (api_servers_ == nullptr) {
    changes.push_back(std::move(change));
  } else {
    changes = api_servers_->take(std::move(change));
  }
  for (Change& one : changes) {
    if (pod_endpoint_writer_ != nullptr) pod_endpoint_writer_->saw(one);
    for (Change& two : node_local_.take(std::move(one))) {
      for (Change& last : pod_split_.take(std::move(two))) apply(std::move(last));
    }
  }
}

void Agent::apply(Change change) {
  const auto* upsert = std::get_if<Upsert>(&change);
  const Kind kind = upsert != nullptr ? kind_of(upsert->object) : std::get<Erase>(change).kind;
  if (!store_.apply(std::move(change)) || sandboxes_ == nullptr) return;
  // The tables of Services are kept by ServiceFlow, at the cost of what changes.
  if (kind == Kind::kNode) realize_soon();
  if (kind == Kind::kNode || is_of_pods(kind)) look_for_gone_soon();
  if (services_ != nullptr) services_->changed();
}

void Agent::warning(std::string_view text) { spdlog::warn("objects: {}", text); }

void Agent::realize_soon() {
  if (std::exchange(realize_pending_, true)) return;
  realize_timer_.expires_after(kBatch);
  realize_timer_.async_wait([this](const auto& error) {
    if (error) return;
    realize_pending_ = false;
    realize_as_far();
  });
}

// As far as tables have room; status tells what is missing, and it is tried again.
void Agent::realize_as_far() {
  const auto done = realize();
  if (done) return;
  const std::vector<std::string> errors = {done.error().text()};
  if (errors != realize_errors_) spdlog::error("{}", errors.front());
  realize_errors_ = errors;
  realize_pending_ = true;
  realize_timer_.expires_after(1s);
  realize_timer_.async_wait([this](const auto& again) {
    if (again) return;
    realize_pending_ = false;
    realize_soon();
  });
}

void Agent::look_for_gone_soon() {
  if (std::exchange(gone_pending_, true)) return;
  gone_timer_.expires_after(kGoneBatch);
  gone_timer_.async_wait([this](const auto& error) {
    if (error) return;
    gone_pending_ = false;
    end_connections_to_gone();
  });
}

Result<void> Agent::realize() {
  const Compiled compiled = compile(store_.snapshot(), config_);
  if (compiled.conflicts != conflicts_) {
    conflicts_ = compiled.conflicts;
    for (const auto& text : conflicts_) spdlog::warn("{}", text);
  }
  auto applied = plane_->apply(compiled.entries);
  ask_paths(compiled.entries);
  if (compiled.entries.kernel_routes != kernel_routes_) {
    WEIR_TRY(set_kernel_routes(*netlink_, compiled.entries.kernel_routes, uplinks_));
    kernel_routes_ = compiled.entries.kernel_routes;
  }
  WEIR_TRY(applied);
  realize_errors_.clear();
  return {};
}

// A dead node answers nobody, and the owners of this node's sockets would never hear of it.
void Agent::end_connections_to_gone() {
  auto gone = gone_pods_.take();
  if (gone.empty() || !restored_) return;
  if (auto marked = plane_->mark_gone(gone); !marked) spdlog::error("{}", marked.error().text());
  std::map<std::uint64_t, std::string> paths = {{config_.netns_cookie, "/proc/self/ns/net"}};
  for (const auto& [handle, endpoint] : store_.snapshot().endpoints) {
    paths.emplace(endpoint.netns_cookie, endpoint.netns);
  }
  sweeper_->post([this, gone = std::move(gone), paths = std::move(paths)] {
    const auto netns_of = [&paths](std::uint64_t cookie) -> Result<Netns> {
      const auto path = paths.find(cookie);
      if (path == paths.end()) return Error(Code::kNotFound, "no namespace of this node");
      return Netns::open(path->second);
    };
    const auto ended = plane_->end_connections(gone, netns_of);
    if (!ended) spdlog::error("{}", ended.error().text());
    if (ended && *ended > 0)
      spdlog::info("{} connections to pods that are gone have ended", *ended);
  });
}

Result<void> Agent::publish(const Endpoint& endpoint) {
  if (!endpoint.ports.empty() && options_.settings.services == 0) {
    return Error(Code::kInvalid,
                 "port mappings are Services' work, and the setting services is off");
  }
  WEIR_TRY(plane_->attach_pod(endpoint.host_ifname, endpoint.host_ifindex));
  store_.upsert(endpoint);
  // While records are read back, the tables still hold what they say: nothing is judged dead yet.
  if (!restored_) return {};
  if (auto applied = apply_pods(); !applied) {
    store_.erase_endpoint(endpoint.handle);
    (void)apply_pods();  // takes away what had room of it
    plane_->detach(endpoint.host_ifname);
    return applied.error();
  }
  if (services_ != nullptr) services_->changed_now();
  return {};
}

Result<void> Agent::apply_pods() {
  return plane_->apply_pods(compile(store_.snapshot(), config_).entries);
}

Result<void> Agent::retract(std::uint32_t handle) {
  const auto& endpoints = store_.snapshot().endpoints;
  const auto found = endpoints.find(handle);
  if (found == endpoints.end()) return {};
  store_.erase_endpoint(handle);
  if (!restored_) return {};
  if (services_ != nullptr) services_->changed_now();
  auto applied = apply_pods();
  forget_kernel_drops();
  return applied;
}

}  // namespace weir
