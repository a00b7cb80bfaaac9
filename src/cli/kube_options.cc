#include "cli/kube_options.h"

namespace weir::cli {

void KubeOptions::add_to(Command& command) {
  command.option("--kubeconfig", kubectl.kubeconfig, "kubectl's configuration file")
      .placeholder("FILE")
      .option("--context", kubectl.context, "Which of its clusters (default: the current one)")
      .placeholder("NAME");
}

}  // namespace weir::cli
