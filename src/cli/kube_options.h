#pragma once

#include "cli/command.h"
#include "cli/kubectl.h"

namespace weir::cli {

// Which Kubernetes cluster a verb talks to.
struct KubeOptions {
  Kubectl kubectl;

  // Adds --kubeconfig, --context.
  void add_to(Command& command);
};

}  // namespace weir::cli
