#include "cli/change.h"
#include "cli/verbs.h"
#include "local/cluster.h"

namespace weir::cli {

void add_apply(Program& program) {
  auto options = std::make_shared<ChangeOptions>();
  Command& verb = program.verb("apply", "Make or change objects of the running local cluster");
  verb.argument("MANIFESTS", options->manifests,
                "YAML files, directories of them, or - for standard input")
      .option("--wait", options->wait_seconds, "Wait so long for all pods to be ready (default: 0)")
      .placeholder("SECONDS");
  options->local.add_to(verb);
  verb.output(options->output)
      .examples("weir apply cart.yaml\nweir apply examples/shop --wait 30")
      .run([options] {
        return run_change(*options, [](local::Applied& applied, const local::Cluster& cluster,
                                       const Manifests& manifests) {
          return applied.apply(manifests, local::kMaxPods, service_ranges(cluster));
        });
      });
}

}  // namespace weir::cli
