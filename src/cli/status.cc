#include "api/status.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/agents.h"
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

struct Options {
  AgentOptions agents;
  Output output = Output::kText;
  bool probe = false;
};

// For the kubelet: whether all agents that are asked serve pods; says what else they do.
int probe(const std::vector<Agent>& agents) {
  std::string waits;
  const auto asked = ask_each(agents, "/v1/status", [&](const std::string& body) -> Result<void> {
    WEIR_ASSIGN(const auto status, api::parse_status(body));
    if (!status.waiting_for.empty()) waits += fmt::format("{}\n", status.waiting_for);
    return {};
  });
  if (!asked) return fail(asked.error());
  fmt::print("{}", waits);
  return waits.empty() ? kOk : kNothing;
}

int run(const Options& options) {
  const auto agents = find_agents(options.agents);
  if (!agents) return fail(agents.error());
  if (options.probe) return probe(*agents);
  std::string text;
  auto documents = nlohmann::ordered_json::array();
  const auto asked = ask_each(*agents, "/v1/status", [&](const std::string& body) -> Result<void> {
    WEIR_ASSIGN(const auto status, api::parse_status(body));
    if (!text.empty()) text += '\n';
    text += status_text(status);
    documents.push_back(nlohmann::ordered_json::parse(body));
    return {};
  });
  if (!asked) return fail(asked.error());
  fmt::print("{}", options.output == Output::kJson ? documents.dump(2) + "\n" : text);
  return kOk;
}

}  // namespace

void add_status(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("status",
                               "How the agents are: devices, pools, tables, packets, "
                               "drops, warnings");
  options->agents.add_to(verb);
  verb.flag("--probe", options->probe,
            "Print nothing and succeed while pods are served; else what the agent waits for")
      .output(options->output)
      .examples(
          "weir status                         every node of the local cluster\n"
          "weir status --node n0               one node\n"
          "weir status -o json | jq '.[].warnings'\n"
          "weir status --socket /run/weir/agent.sock")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
