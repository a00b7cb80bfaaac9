#include "cli/agents.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <future>

#include "cli/bridge.h"
#include "cli/say.h"

namespace weir::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kAskedAtOnce = 16;

bool has_socket(const fs::path& path) {
  std::error_code ignored;
  return fs::is_socket(path, ignored);
}

std::vector<Agent> local_agents(const fs::path& nodes) {
  std::vector<Agent> agents;
  std::error_code ignored;
  for (fs::directory_iterator node(nodes, ignored), end; node != end; node.increment(ignored)) {
    const fs::path socket = node->path() / "run" / "agent.sock";
    if (has_socket(socket)) {
      agents.push_back({node->path().filename().string(), socket.string(), nullptr});
    }
  }
  std::ranges::sort(agents, {}, &Agent::node);
  return agents;
}

Error nobody(const AgentOptions& options, const fs::path& nodes, const std::string& own) {
  const std::string remedy =
      "start a local cluster with 'weir up', or name an agent's socket with "
      "--socket";
  if (options.name != "default") {
    return Error(Code::kNotFound,
                 fmt::format("no Weir agent answers in the local cluster '{}' "
                             "({}/*/run/agent.sock): 'weir up --name {}' starts it",
                             options.name, nodes.string(), options.name));
  }
  return Error(Code::kNotFound, fmt::format("no Weir agent answers on {} or in {}: {}", own,
                                            nodes.string(), remedy));
}

}  // namespace

void AgentOptions::add_to(Command& command) {
  cluster = command.is_plugin();
  if (cluster) {
    command.option("--node", node, "Ask this node only").placeholder("NODE");
    return kube.add_to(command);
  }
  command.option("--name", name, "Of the local cluster to ask (default: default)")
      .placeholder("NAME")
      .option("--run-dir", run_dir,
              "Where local clusters keep their files (default: " + run_dir + ")")
      .placeholder("DIR")
      .option("--node", node, "Ask this node only")
      .placeholder("NODE")
      .option("--socket", socket, "Ask the agent that listens here")
      .placeholder("PATH");
}

Result<std::vector<Agent>> find_agents(const AgentOptions& options, const std::string& own) {
  if (options.cluster) {
    WEIR_ASSIGN(auto opened, Bridge::open(options.kube.kubectl, options.node));
    const std::shared_ptr<Bridge> bridge = std::move(opened);
    std::vector<Agent> agents = bridge->agents();
    for (Agent& agent : agents) agent.keeper = bridge;
    return agents;
  }
  if (!options.socket.empty()) return std::vector<Agent>{{"", options.socket, nullptr}};
  const fs::path nodes = fs::path(options.run_dir) / options.name / "nodes";
  std::vector<Agent> agents = local_agents(nodes);
  if (!options.node.empty()) {
    std::erase_if(agents, [&](const Agent& agent) { return agent.node != options.node; });
    if (agents.empty()) {
      return Error(Code::kNotFound,
                   fmt::format("no agent of a node '{}' in {}: 'weir status' lists "
                               "the nodes",
                               options.node, nodes.string()));
    }
  }
  if (agents.empty() && options.name == "default" && has_socket(own)) {
    agents.push_back({"", own, nullptr});
  }
  if (agents.empty()) return nobody(options, nodes, own);
  return agents;
}

int fail(const Error& error) {
  say(error.text());
  switch (error.code()) {
    case Code::kNotFound:
    case Code::kUnavailable:
      return kNothing;
    case Code::kInvalid:
      return kUsage;
    case Code::kExists:
    case Code::kDenied:
    case Code::kKernel:
      return kError;
  }
  return kError;
}

Result<void> ask_each(const std::vector<Agent>& agents, const std::string& target,
                      const std::function<Result<void>(const std::string& body)>& take,
                      std::chrono::milliseconds patience) {
  std::vector<Error> errors;
  for (std::size_t first = 0; first < agents.size(); first += kAskedAtOnce) {
    std::vector<std::future<Result<std::string>>> asked;
    for (std::size_t i = first; i < std::min(agents.size(), first + kAskedAtOnce); ++i) {
      asked.push_back(std::async(std::launch::async, api::get, agents[i].socket, target, patience));
    }
    for (auto& one : asked) {
      auto body = one.get();
      if (body) {
        WEIR_TRY(take(*body));
      } else {
        errors.push_back(std::move(body).error());
      }
    }
  }
  if (errors.empty()) return {};
  if (errors.size() == agents.size()) {
    const Error& first = errors.front();
    if (first.code() != Code::kUnavailable) return first;
    return Error(first.code(),
                 fmt::format("no Weir agent answers: {}: is it running?", first.text()));
  }
  for (const Error& error : errors) say(error.text());
  return {};
}

}  // namespace weir::cli
