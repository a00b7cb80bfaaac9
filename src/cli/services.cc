#include "api/services.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <sstream>

#include "cli/agents.h"
#include "cli/say.h"
#include "cli/services_text.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

constexpr std::chrono::seconds kPatience{60};  // 100,000 Services take some

struct Options {
  AgentOptions agents;
  Output output = Output::kText;
  std::string namespace_;
  std::string service;
};

std::string target_of(const Options& options) {
  if (!options.service.empty()) {
    return "/v1/services?service=" + api::percent_encode(options.service);
  }
  if (!options.namespace_.empty()) {
    return "/v1/services?namespace=" + api::percent_encode(options.namespace_);
  }
  return "/v1/services";
}

std::vector<std::string> lines_of(const std::string& body) {
  std::vector<std::string> lines;
  std::istringstream in(body);
  for (std::string line; std::getline(in, line);) lines.push_back(std::move(line));
  return lines;
}

int print_text(const Options& options, const std::vector<std::string>& lines) {
  std::vector<api::ServiceInfo> all;
  for (const std::string& line : lines) {
    auto one = api::parse_service(line);
    if (!one) return fail(one.error());
    all.push_back(std::move(*one));
  }
  const auto services = by_service(std::move(all));
  fmt::print("{}",
             options.service.empty() ? services_text(services) : service_text(services.front()));
  return kOk;
}

int run(const Options& options) {
  const auto agents = find_agents(options.agents);
  if (!agents) return fail(agents.error());
  std::vector<std::string> lines;
  const auto take = [&](const std::string& body) -> Result<void> {
    for (std::string& line : lines_of(body)) lines.push_back(std::move(line));
    return {};
  };
  const auto asked = ask_each(*agents, target_of(options), take, kPatience);
  if (!asked) return fail(asked.error());
  if (options.output == Output::kJson) {
    fmt::print("[{}]\n", fmt::join(lines, ","));
  } else if (!lines.empty()) {
    if (const int code = print_text(options, lines); code != kOk) return code;
  }
  if (lines.empty()) say("there are no Services");
  return lines.empty() ? kNothing : kOk;
}

}  // namespace

void add_services(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb(
      "services", "Services: where they are served, their backends, and why one is not used");
  verb.argument("service", options->service, "NAMESPACE/NAME: all of this one", false)
      .option("-n,--namespace", options->namespace_, "Only Services of this namespace")
      .placeholder("NS");
  options->agents.add_to(verb);
  verb.output(options->output)
      .examples(
          "weir services                         every Service, connections of all nodes together\n"
          "weir services shop/cart               its frontends and backends\n"
          "weir services shop/cart --node n0     as this node sees it\n"
          "weir services -o json | jq '.[] | select(.notes != [])'\n"
          "\n"
          "NOW: connections now; OVER: those that ended since the agent's start; ANSWER: median\n"
          "time to a backend's first packet. !: not all of it is served, the last lines say why.")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
