#include <fmt/format.h>

#include <nlohmann/json.hpp>

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
  Output output = Output::kText;
};

// Runs it, then prints all that it wrote.
Result<int> run_as_json(const local::PodRecord& pod, const local::InitContainer& container,
                        const std::vector<std::string>& command) {
  WEIR_ASSIGN(const auto out, local::text_file(""));
  WEIR_ASSIGN(const auto err, local::text_file(""));
  WEIR_ASSIGN(const int code, run_in_pod(pod, container, command, {out.get(), err.get()}));
  WEIR_ASSIGN(const auto out_text, local::read_text_file(out.get()));
  WEIR_ASSIGN(const auto err_text, local::read_text_file(err.get()));
  const nlohmann::ordered_json json = {{"namespace", pod.key.namespace_},
                                       {"pod", pod.key.name},
                                       {"container", container.name},
                                       {"exit_code", code},
                                       {"stdout", out_text},
                                       {"stderr", err_text}};
  fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  return code;
}

Result<int> run(const Options& options) {
  const auto paths = options.local.paths();
  WEIR_TRY(find_cluster(paths));
  WEIR_ASSIGN(const auto pod, find_pod(paths, options.pod));
  WEIR_ASSIGN(const auto* container, find_container(pod, options.container));
  return options.output == Output::kJson ? run_as_json(pod, *container, options.command)
                                         : run_in_pod(pod, *container, options.command);
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
  verb.output(options->output)
      .examples(
          "weir exec shop/cart -- ip address\n"
          "weir exec shop/cart -- sh\n"
          "weir exec shop/cart -o json -- ping -c 1 payment | jq .exit_code\n"
          "weir exec shop/cart -- curl -s http://database:8080/")
      .run([options] {
        const auto code = run(*options);
        return code ? *code : fail(code.error());
      });
}

}  // namespace weir::cli
