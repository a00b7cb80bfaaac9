#include "base/version.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "api/status.h"
#include "cli/agents.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

struct Options {
  AgentOptions agents;
  Output output = Output::kText;
  bool client = false;
};

// The agents' versions are a help: that none answers is no error.
std::vector<api::Version> ask(const Options& options) {
  std::vector<api::Version> versions;
  const auto agents = options.client ? std::vector<Agent>()
                                     : find_agents(options.agents).value_or(std::vector<Agent>());
  for (const Agent& agent : agents) {
    const auto body = api::get(agent.socket, "/v1/version");
    auto version = body ? api::parse_version(*body) : body.error();
    if (version) versions.push_back(std::move(*version));
  }
  return versions;
}

int run(const Options& options) {
  const auto versions = ask(options);
  if (options.output == Output::kJson) {
    std::vector<std::string> list;
    for (const auto& version : versions) list.push_back(to_json(version));
    fmt::print("{{\"weir\":\"{}\",\"agents\":[{}]}}\n", kVersion, fmt::join(list, ","));
    return kOk;
  }
  fmt::print("weir {}\n", kVersion);
  for (const auto& version : versions) {
    fmt::print("agent {} on node {}, programs {}\n", version.version, version.node,
               version.build_id);
  }
  return kOk;
}

}  // namespace

void add_version(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("version", "Version of weir and of the agents that answer");
  verb.flag("--client", options->client, "Of this program only");
  options->agents.add_to(verb);
  verb.output(options->output)
      .examples("weir version\nweir version --client -o json")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
