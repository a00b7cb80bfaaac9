#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "k8s/manifests.h"

namespace weir::local {

// A pod that is to be.
struct DesiredPod {
  PodManifest manifest;
  std::string workload;  // the Deployment; empty: none
  std::string hash;      // differs when the pod must be made anew

  ObjectKey key() const { return manifest.meta.key(); }
};

// A Deployment that is to be.
struct Workload {
  DeploymentManifest manifest;
  std::string hash;  // of its template

  ObjectKey key() const { return manifest.meta.key(); }
};

// A pod that is.
struct ExistingPod {
  ObjectKey key;
  std::string workload;
  std::string hash;
  std::uint64_t order = 0;  // later ones are younger
  bool ready = false;
  bool available = false;  // has been ready for minReadySeconds
  bool terminating = false;

  ObjectKey workload_key() const { return {key.namespace_, workload}; }
};

struct Desired {
  std::vector<Workload> workloads;
  std::vector<DesiredPod> pods;

  std::size_t count() const;  // pods in all
  // The pod has what its Deployment or manifest says now.
  bool is_current(const ExistingPod& pod) const;
  std::uint32_t min_ready_seconds(const ExistingPod& pod) const;
};
Desired make_desired(const Manifests& manifests);

// What to do next. A changed Deployment rolls by its strategy, as Kubernetes' controller does it;
// terminating pods count for nothing, but with Recreate. A changed Pod goes before its successor,
// which has its name.
struct Steps {
  std::vector<DesiredPod> create;
  std::vector<ObjectKey> remove;
};
Steps next_steps(const Desired& desired, const std::vector<ExistingPod>& existing);

}  // namespace weir::local
