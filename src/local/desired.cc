// Manifests -> pods that are to be; these and the pods that are -> what to do next.

#include "local/desired.h"

#include <algorithm>
#include <map>
#include <set>

#include "local/manifest_json.h"
#include "local/naming.h"

namespace weir::local {
namespace {

using Pods = std::vector<const ExistingPod*>;

// Of the replicas; a share is rounded up for what may be too many, down for what may be missing.
std::size_t resolve(const PodCount& count, std::size_t replicas, bool up) {
  if (!count.percent) return count.number;
  return (replicas * count.number + (up ? 99 : 0)) / 100;
}

std::size_t count_available(const Pods& pods) {
  return static_cast<std::size_t>(
      std::ranges::count_if(pods, [](const ExistingPod* pod) { return pod->available; }));
}

// Those that are missed the least come first: not ready, then young.
void sort_for_removal(Pods& pods) {
  std::ranges::sort(pods, [](const ExistingPod* a, const ExistingPod* b) {
    return std::tuple(a->available, a->ready, b->order) <
           std::tuple(b->available, b->ready, a->order);
  });
}

// One Deployment's next steps.
class Rollout {
 public:
  Rollout(const Workload& workload, const std::vector<ExistingPod>& existing, Steps& steps)
      : workload_(workload), existing_(existing), steps_(steps) {
    for (const auto& pod : existing) {
      if (pod.workload != workload.manifest.meta.name ||
          pod.key.namespace_ != workload.manifest.meta.namespace_) {
        continue;
      }
      old_pods_run_ = old_pods_run_ || pod.hash != workload.hash;
      if (!pod.terminating) (pod.hash == workload.hash ? fresh_ : old_).push_back(&pod);
    }
    sort_for_removal(fresh_);
    sort_for_removal(old_);
  }

  void run() {
    if (fresh_.size() > replicas()) remove(fresh_, fresh_.size() - replicas());
    if (workload_.manifest.strategy.recreate) return recreate();
    if (old_.empty()) return create(missing());
    const auto created = std::min(missing(), room());
    create(created);
    shrink(created);
  }

 private:
  std::size_t replicas() const { return workload_.manifest.replicas; }
  std::size_t missing() const { return replicas() - std::min(replicas(), fresh_.size()); }

  std::size_t unavailable() const {
    const auto& strategy = workload_.manifest.strategy;
    const auto surge = resolve(strategy.max_surge, replicas(), true);
    const auto unavailable = resolve(strategy.max_unavailable, replicas(), false);
    return surge == 0 && unavailable == 0 ? 1 : unavailable;
  }

  // For how many more pods there is room.
  std::size_t room() const {
    const auto most = replicas() + resolve(workload_.manifest.strategy.max_surge, replicas(), true);
    const auto now = std::min(fresh_.size(), replicas()) + old_.size();
    return most - std::min(most, now);
  }

  void recreate() {
    remove(old_, old_.size());
    if (!old_pods_run_) create(missing());
  }

  // Old pods that do not serve go as far as the new ones' lack allows; then those that do, while
  // enough serve.
  void shrink(std::size_t created) {
    const auto fresh = std::min(fresh_.size(), replicas()) + created;
    const auto fresh_available = count_available(fresh_);
    const auto least = replicas() - std::min(replicas(), unavailable());
    const auto kept = least + (fresh - std::min(fresh, fresh_available));
    const auto total = fresh + old_.size();
    if (total <= kept) return;
    const auto old_available = count_available(old_);
    const auto broken = std::min(old_.size() - old_available, total - kept);
    remove(old_, broken);
    const auto available = old_available + fresh_available;
    if (available <= least) return;
    const Pods serving(old_.begin() + static_cast<std::ptrdiff_t>(old_.size() - old_available),
                       old_.end());
    remove(serving, std::min({serving.size(), available - least, total - kept - broken}));
  }

  void remove(const Pods& pods, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) steps_.remove.push_back(pods[i]->key);
  }

  void create(std::size_t count) {
    std::set<std::string> names;
    for (const auto& pod : existing_) {
      if (pod.key.namespace_ == workload_.manifest.meta.namespace_) names.insert(pod.key.name);
    }
    for (std::uint64_t i = 0; count > 0; ++i) {
      const auto name = deployment_pod_name(workload_.manifest.meta.name, workload_.hash, i);
      if (!names.insert(name).second) continue;
      auto manifest = pod_of(workload_.manifest, name);
      manifest.meta.labels["pod-template-hash"] = workload_.hash;
      steps_.create.push_back({std::move(manifest), workload_.manifest.meta.name, workload_.hash});
      --count;
    }
  }

  const Workload& workload_;
  const std::vector<ExistingPod>& existing_;
  Steps& steps_;
  Pods fresh_;  // of the present template
  Pods old_;
  bool old_pods_run_ = false;  // those that terminate as well
};

const Workload* workload_of(const Desired& desired, const ExistingPod& pod) {
  const auto found = std::ranges::find(desired.workloads, pod.workload_key(), &Workload::key);
  return found == desired.workloads.end() ? nullptr : &*found;
}

}  // namespace

Desired make_desired(const Manifests& manifests) {
  Desired desired;
  for (const auto& deployment : manifests.deployments) {
    desired.workloads.push_back({deployment, template_hash(template_text(deployment))});
  }
  for (const auto& pod : manifests.pods) {
    desired.pods.push_back({pod, "", template_hash(template_text(pod))});
  }
  return desired;
}

std::size_t Desired::count() const {
  std::size_t sum = pods.size();
  for (const auto& workload : workloads) sum += workload.manifest.replicas;
  return sum;
}

bool Desired::is_current(const ExistingPod& pod) const {
  if (!pod.workload.empty()) {
    const auto* workload = workload_of(*this, pod);
    return workload != nullptr && workload->hash == pod.hash;
  }
  const auto found = std::ranges::find(pods, pod.key, &DesiredPod::key);
  return found != pods.end() && found->hash == pod.hash;
}

std::uint32_t Desired::min_ready_seconds(const ExistingPod& pod) const {
  const auto* workload = workload_of(*this, pod);
  return workload == nullptr ? 0 : workload->manifest.min_ready_seconds;
}

Steps next_steps(const Desired& desired, const std::vector<ExistingPod>& existing) {
  Steps steps;
  for (const auto& workload : desired.workloads) Rollout(workload, existing, steps).run();
  std::set<ObjectKey> there;
  for (const auto& pod : existing) {
    there.insert(pod.key);
    const bool rolls = !pod.workload.empty() && workload_of(desired, pod) != nullptr;
    if (!rolls && !pod.terminating && !desired.is_current(pod)) steps.remove.push_back(pod.key);
  }
  for (const auto& pod : desired.pods) {
    if (!there.contains(pod.key())) steps.create.push_back(pod);
  }
  return steps;
}

}  // namespace weir::local
