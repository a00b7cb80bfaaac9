#include "cli/change.h"
#include "cli/verbs.h"

namespace weir::cli {

void add_delete(Program& program) {
  auto options = std::make_shared<ChangeOptions>();
  options->wait_seconds = 60;
  Command& verb = program.verb("delete", "Remove objects from the running local cluster");
  verb.argument("MANIFESTS", options->manifests,
                "YAML files, directories of them, or - for standard input")
      .option("--wait", options->wait_seconds, "Wait so long for pods to be gone (default: 60)")
      .placeholder("SECONDS");
  options->local.add_to(verb);
  verb.output(options->output)
      .examples("weir delete cart.yaml\nweir delete examples/shop --wait 0")
      .run([options] {
        return run_change(*options,
                          [](local::Applied& applied, const local::Cluster&,
                             const Manifests& manifests) { return applied.remove(manifests); });
      });
}

}  // namespace weir::cli
