// What follows from manifests and the pods' states: pods made and ended, objects, /etc/hosts,
// status.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "k8s/json.h"
#include "local/controller.h"
#include "local/schedule.h"
#include "sys/files.h"

namespace weir::local {
namespace {

Result<void> write_object_file(const std::string& path, const std::string& text) {
  WEIR_TRY(make_dirs(path.substr(0, path.rfind('/'))));
  return write_file_atomic(path, text);
}

}  // namespace

const NodeHandle* Controller::node(const std::string& name) const {
  for (const auto& node : nodes_) {
    if (node->node.name == name) return node.get();
  }
  return nullptr;
}

std::vector<Pod> Controller::pods() const {
  std::vector<Pod> result;
  for (const auto& [key, runner] : pods_) result.push_back(runner->pod());
  return result;
}

// Nodes, Namespaces and Services. Each pod's runner writes its own.
void Controller::write_objects() {
  std::map<std::string, std::string> objects;
  const auto add = [&](Kind kind, const auto& object) {
    objects[paths_.objects() + "/" + object_path(kind, object.key())] = to_json(object);
  };
  for (const auto& handle : nodes_) {
    const auto& node = handle->node;
    add(Kind::kNode, Node{.name = node.name,
                          .addresses = node.addresses,
                          .pod_cidrs = node.pod_cidrs,
                          .zone = node.zone});
  }
  for (const char* name : {"default", kDnsNamespace}) {
    add(Kind::kNamespace, Namespace{name, {{"kubernetes.io/metadata.name", name}}});
  }
  for (const auto& ns : manifests_.namespaces) {
    auto object = to_model(ns);
    object.labels["kubernetes.io/metadata.name"] = object.name;
    add(Kind::kNamespace, object);
  }
  for (const auto& service : manifests_.services) add(Kind::kService, to_model(service));
  for (const auto& slice : manifests_.slices) add(Kind::kEndpointSlice, slice.slice);
  for (const auto& [path, text] : written_) {
    if (!objects.contains(path)) static_cast<void>(remove_file(path));
  }
  for (const auto& [path, text] : objects) {
    const auto before = written_.find(path);
    if (before != written_.end() && before->second == text) continue;
    if (auto written = write_object_file(path, text); !written) problem_ = written.error().text();
  }
  written_ = std::move(objects);
}

// The controller's own, and those that were applied.
std::vector<EndpointSlice> Controller::slices_of(const ObjectKey& service) const {
  auto slices = slices_.slices_of(service);
  for (const auto& given : manifests_.slices) {
    if (given.slice.service_key() == service) slices.push_back(given.slice);
  }
  return slices;
}

Result<void> Controller::update_balancer() {
  std::vector<LocalNode> nodes;
  for (const auto& handle : nodes_) nodes.push_back(handle->node);
  BalancerTargets targets;
  for (const auto& service : manifests_.services) {
    add_targets(service.service, slices_of(service.meta.key()), nodes, targets);
  }
  return balancer_->update(std::move(targets));
}

Result<void> Controller::update_dns() {
  if (!dns_) return {};
  std::vector<EndpointSlice> slices;
  for (const auto& service : manifests_.services) {
    if (!service.service.headless) continue;
    for (auto& slice : slices_of(service.meta.key())) slices.push_back(std::move(slice));
  }
  return dns_->update(make_zones(manifests_.services, slices, pods()));
}

// What follows from the pods' states: EndpointSlices, DNS, and where the load balancer leads.
void Controller::publish_endpoints() {
  std::vector<BackingPod> pods;
  for (const auto& [key, runner] : pods_) pods.push_back({runner->pod(), runner->spec()});
  std::map<std::string, std::string> zones;
  for (const auto& handle : nodes_) {
    if (!handle->node.zone.empty()) zones[handle->node.name] = handle->node.zone;
  }
  auto done = slices_.update(manifests_.services, pods, zones);
  if (done) done = update_balancer();
  if (done) done = update_dns();
  if (!done) problem_ = done.error().text();
}

void Controller::drop_gone() {
  std::erase_if(pods_, [](const auto& entry) { return entry.second->gone(); });
}

ExistingPod Controller::existing(const PodRunner& runner) const {
  const auto& pod = runner.pod();
  ExistingPod result{pod.key(), pod.workload, runner.hash(),  runner.order(),
                     pod.ready, false,        pod.terminating};
  const std::chrono::seconds wait(desired_.min_ready_seconds(result));
  result.available = pod.ready && Clock::now() >= runner.ready_since() + wait;
  return result;
}

void Controller::reconcile() {
  std::vector<ExistingPod> pods;
  for (const auto& [key, runner] : pods_) {
    pods.push_back(existing(*runner));
    if (pods.back().ready && !pods.back().available) look_again();
  }
  const auto steps = next_steps(desired_, pods);
  for (const auto& key : steps.remove) pods_.at(key)->stop();
  unplaced_.clear();
  for (const auto& pod : steps.create) create(pod);
  publish_endpoints();
  publish();
}

// Nobody tells when a pod has been ready for long enough.
void Controller::look_again() {
  if (look_again_ != 0) return;
  look_again_ = loop_.after(std::chrono::milliseconds(100), [this] {
    look_again_ = 0;
    reconcile();
  });
}

void Controller::create(const DesiredPod& pod) {
  std::vector<std::string> names;
  for (const auto& handle : nodes_) names.push_back(handle->node.name);
  std::vector<Placed> placed;
  for (const auto& [key, runner] : pods_) {
    if (runner->pod().terminating) continue;
    placed.push_back({runner->pod().node, key.namespace_ + "/" + runner->pod().workload});
  }
  const auto& wish = pod.manifest.spec.node_name;
  const auto workload = pod.workload.empty() ? "" : pod.key().namespace_ + "/" + pod.workload;
  const auto* handle = node(wish.empty() ? *choose_node(names, placed, workload) : wish);
  if (handle == nullptr) {
    unplaced_[pod.key()] = fmt::format("there is no node {}", wish);
    return;
  }
  auto& runner = pods_[pod.key()];
  runner = std::make_unique<PodRunner>(context_, *handle, pod, ++created_pods_);
  runner->begin();
}

ClusterStatus Controller::status() const {
  ClusterStatus status{revision_, desired_.count(), problem_, {}, {}};
  for (const auto& agent : agents_) {
    status.agents.push_back(
        {agent->node(), agent->pid(), agent->ready(), agent->restarts(), agent->problem()});
  }
  for (const auto& [key, runner] : pods_) {
    const auto& pod = runner->pod();
    PodStatus entry;
    entry.namespace_ = key.namespace_;
    entry.name = key.name;
    entry.node = pod.node;
    entry.phase = phase_name(pod.phase);
    entry.ready = pod.ready;
    entry.terminating = pod.terminating;
    entry.current = desired_.is_current(existing(*runner));
    entry.restarts = runner->restarts();
    entry.problem = runner->problem();
    for (const auto& address : pod.addresses) entry.addresses.push_back(address.to_string());
    status.pods.push_back(std::move(entry));
  }
  for (const auto& [key, why] : unplaced_) {
    PodStatus entry;
    entry.namespace_ = key.namespace_;
    entry.name = key.name;
    entry.phase = "Pending";
    entry.problem = why;
    status.pods.push_back(std::move(entry));
  }
  return status;
}

void Controller::publish() {
  for (const auto& [key, runner] : pods_) runner->update_hosts();
  const auto text = to_json(status());
  if (text == status_text_) return;
  if (write_file_atomic(paths_.status_file(), text)) status_text_ = text;
}

}  // namespace weir::local
