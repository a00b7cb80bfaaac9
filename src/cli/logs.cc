#include "cli/agents.h"
#include "cli/local_options.h"
#include "cli/verbs.h"
#include "local/enter.h"
#include "local/up.h"

namespace weir::cli {
namespace {

struct Options {
  LocalOptions local;
  std::string pod;
  std::string container;
  std::uint64_t last = 0;
  bool follow = false;
  Output output = Output::kText;
};

Result<void> run(const Options& options) {
  const auto paths = options.local.paths();
  WEIR_TRY(find_cluster(paths));
  WEIR_ASSIGN(const auto pod, find_pod(paths, options.pod));
  WEIR_ASSIGN(const auto* container, find_container(pod, options.container));
  return print_log(
      paths, pod, *container,
      {.last = options.last, .follow = options.follow, .json = options.output == Output::kJson});
}

}  // namespace

void add_logs(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("logs", "What a pod's processes wrote");
  verb.argument("NS/POD", options->pod, "The pod; NS/DEPLOYMENT is one of its pods")
      .option("-c,--container", options->container, "Which one (default: the first)")
      .placeholder("NAME")
      .option("--last", options->last, "Only the last lines")
      .placeholder("N")
      .flag("-f,--follow", options->follow, "Go on until the pod is gone");
  options->local.add_to(verb);
  verb.output(options->output)
      .examples(
          "weir logs shop/cart\n"
          "weir logs -f shop/front-end --last 10\n"
          "weir logs shop/cart -o json | jq -r .line")
      .run([options] {
        const auto done = run(*options);
        return done ? kOk : fail(done.error());
      });
}

}  // namespace weir::cli
