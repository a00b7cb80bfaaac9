#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <tuple>

#include "api/status.h"
#include "cli/agents.h"
#include "cli/say.h"
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

struct Options {
  AgentOptions agents;
  Output output = Output::kText;
  std::string namespace_;
};

int run(const Options& options) {
  const auto agents = find_agents(options.agents);
  if (!agents) return fail(agents.error());
  std::vector<api::EndpointInfo> all;
  const auto asked =
      ask_each(*agents, "/v1/endpoints", [&](const std::string& body) -> Result<void> {
        WEIR_ASSIGN(auto endpoints, api::parse_endpoints(body));
        std::ranges::move(endpoints, std::back_inserter(all));
        return {};
      });
  if (!asked) return fail(asked.error());
  if (!options.namespace_.empty()) {
    std::erase_if(all, [&](const auto& one) { return one.namespace_ != options.namespace_; });
  }
  std::ranges::sort(all, {}, [](const auto& one) { return std::tie(one.namespace_, one.pod); });
  if (options.output == Output::kJson) {
    fmt::print("{}\n", api::to_json(all));
  } else if (!all.empty()) {
    fmt::print("{}", endpoints_text(all));
  }
  if (all.empty()) say("no pods are attached");
  return all.empty() ? kNothing : kOk;
}

}  // namespace

void add_endpoints(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("endpoints", "The pods that are attached, with their addresses");
  verb.option("-n,--namespace", options->namespace_, "Only pods of this namespace")
      .placeholder("NS");
  options->agents.add_to(verb);
  verb.output(options->output)
      .examples(
          "weir endpoints\n"
          "weir endpoints -n shop\n"
          "weir endpoints -o json | jq -r '.[].addresses[0]'")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
