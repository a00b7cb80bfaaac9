#include <fmt/format.h>

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
  std::vector<std::string> command;
};

Result<int> run(const Options& options) {
  const auto paths = options.local.paths();
  WEIR_TRY(find_cluster(paths));
  WEIR_ASSIGN(const auto pod, find_pod(paths, options.pod));
  WEIR_ASSIGN(const auto* container, find_container(pod, options.container));
  return run_in_pod(pod, *container, options.command);
}

}  // namespace

void add_exec(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("exec", "Run a command in a pod; its exit code is weir's");
  verb.argument("NS/POD", options->pod, "The pod; NS/DEPLOYMENT is one of its pods")
      .argument("COMMAND", options->command, "After --: the program and its arguments")
      .option("-c,--container", options->container, "Whose environment (default: the first)")
      .placeholder("NAME");
  options->local.add_to(verb);
  verb.examples(
          "weir exec shop/cart -- ip address\n"
          "weir exec shop/cart -- sh\n"
          "weir exec shop/cart -- curl -s http://database:8080/")
      .run([options] {
        const auto code = run(*options);
        return code ? *code : fail(code.error());
      });
}

}  // namespace weir::cli
