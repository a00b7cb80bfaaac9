#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/client.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/kube_options.h"

namespace weir::cli {

// Which agents a verb talks to.
struct AgentOptions {
  std::string name = "default";
  std::string run_dir = "/run/weir/local";
  std::string socket;
  std::string node;
  bool cluster = false;  // of Kubernetes, instead of this machine's agents
  KubeOptions kube;

  // Adds --node; --kubeconfig and --context as a plugin of kubectl, else --name, --run-dir,
  // --socket, too.
  void add_to(Command& command);
};

struct Agent {
  std::string node;  // of a local cluster; "" for the agent of this machine
  std::string socket;
  std::shared_ptr<const void> keeper;  // of what the socket is the end of
};

// Those whose socket is there: --socket; else the nodes of the local cluster; else this machine's.
// Of a Kubernetes cluster, those whose pods run.
// kNotFound: none, with what to do about it.
Result<std::vector<Agent>> find_agents(const AgentOptions& options,
                                       const std::string& own = "/run/weir/agent.sock");

// The verb's last word when it fails: one line, to stderr; the exit code.
int fail(const Error& error);

// Asks the agents, several at once; calls `take` with each answer, in their order. Agents that do
// not answer are told of on stderr; when none answers: the error.
Result<void> ask_each(const std::vector<Agent>& agents, const std::string& target,
                      const std::function<Result<void>(const std::string& body)>& take,
                      std::chrono::milliseconds patience = std::chrono::seconds(5));

}  // namespace weir::cli
