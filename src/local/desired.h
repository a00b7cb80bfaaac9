#pragma once

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

// A pod that is.
struct ExistingPod {
  ObjectKey key;
  std::string workload;
  std::string hash;
  bool ready = false;
  bool terminating = false;
};

std::vector<DesiredPod> desired_pods(const Manifests& manifests);

// What to do next. A changed Deployment gets its new pods first; an old one goes for each new one
// that is ready. A changed Pod goes before its successor, which has its name.
struct Steps {
  std::vector<DesiredPod> create;
  std::vector<ObjectKey> remove;
};
Steps next_steps(const std::vector<DesiredPod>& desired, const std::vector<ExistingPod>& existing);

}  // namespace weir::local
