#include "local/desired.h"

#include <algorithm>
#include <map>
#include <set>

#include "local/manifest_json.h"
#include "local/naming.h"

namespace weir::local {
namespace {

using Workload = std::pair<std::string, std::string>;  // namespace, Deployment

void add_replicas(std::vector<DesiredPod>& pods, const DeploymentManifest& deployment) {
  const auto hash = template_hash(template_text(deployment));
  for (std::uint32_t i = 0; i < deployment.replicas; ++i) {
    const auto name = deployment_pod_name(deployment.meta.name, hash, i);
    auto manifest = pod_of(deployment, name);
    manifest.meta.labels["pod-template-hash"] = hash;
    pods.push_back({std::move(manifest), deployment.meta.name, hash});
  }
}

}  // namespace

std::vector<DesiredPod> desired_pods(const Manifests& manifests) {
  std::vector<DesiredPod> pods;
  for (const auto& deployment : manifests.deployments) add_replicas(pods, deployment);
  for (const auto& pod : manifests.pods) {
    pods.push_back({pod, "", template_hash(template_text(pod))});
  }
  return pods;
}

Steps next_steps(const std::vector<DesiredPod>& desired, const std::vector<ExistingPod>& existing) {
  std::map<ObjectKey, const DesiredPod*> wanted;
  std::map<Workload, std::size_t> missing;  // new pods that are not ready yet
  for (const auto& pod : desired) {
    wanted[pod.key()] = &pod;
    ++missing[{pod.key().namespace_, pod.workload}];
  }
  std::set<ObjectKey> there;
  for (const auto& pod : existing) {
    there.insert(pod.key);
    const auto found = wanted.find(pod.key);
    if (found != wanted.end() && found->second->hash == pod.hash && pod.ready) {
      --missing[{pod.key.namespace_, pod.workload}];
    }
  }
  Steps steps;
  for (const auto& pod : existing) {
    const auto found = wanted.find(pod.key);
    const bool stays = found != wanted.end() && found->second->hash == pod.hash;
    if (stays || pod.terminating) continue;
    auto& needed = missing[{pod.key.namespace_, pod.workload}];
    const bool current = !pod.workload.empty() &&
                         std::any_of(desired.begin(), desired.end(), [&pod](const DesiredPod& d) {
                           return d.workload == pod.workload && d.hash == pod.hash &&
                                  d.key().namespace_ == pod.key.namespace_;
                         });
    // A stand-in stays while its successor is not ready. Scaling down waits for nobody.
    if (!pod.workload.empty() && !current && pod.ready && needed > 0) {
      --needed;
      continue;
    }
    steps.remove.push_back(pod.key);
  }
  for (const auto& pod : desired) {
    if (!there.contains(pod.key())) steps.create.push_back(pod);
  }
  return steps;
}

}  // namespace weir::local
