// What `weir up` runs for itself, and what tests ask of a running cluster.

#include <fmt/format.h>
#include <signal.h>

#include "cli/agents.h"
#include "cli/local_options.h"
#include "cli/verbs.h"
#include "local/controller.h"
#include "local/init.h"
#include "local/up.h"

namespace weir::cli {
namespace {

struct AgentAction {
  LocalOptions local;
  std::string action;
  std::string node;
  std::uint64_t wait_seconds = 10;
};

void add_controller(Program& program) {
  auto options = std::make_shared<LocalOptions>();
  Command& verb = program.verb("local-controller", "Scheduler and kubelet of a local cluster");
  options->add_to(verb);
  verb.hidden().run([options] { return run_controller(options->paths()); });
}

void add_init(Program& program) {
  auto words = std::make_shared<std::vector<std::string>>();
  program.verb("local-init", "First process of a pod").raw(*words).hidden().run([words] {
    return local::run_init();
  });
}

int run_agent_action(const AgentAction& options) {
  const auto paths = options.local.paths();
  const auto done =
      options.action == "start"
          ? release_agent(paths, options.node)
          : hold_agent(paths, options.node, options.action == "kill" ? SIGKILL : SIGTERM);
  if (!done) return fail(done.error());
  const bool ready = options.action == "start";
  const auto waited =
      wait_for_status(paths, std::chrono::seconds(options.wait_seconds), -1, [&](const auto& s) {
        for (const auto& agent : s.agents) {
          if (agent.node == options.node) return agent.ready == ready;
        }
        return false;
      });
  return waited == local::Waited::kEnough ? kOk : kError;
}

// An agent that is stopped or killed here is not started again before `start`.
void add_agent(Program& program) {
  auto options = std::make_shared<AgentAction>();
  Command& verb = program.verb("local-agent", "Stop, kill or start the agent of a node");
  verb.argument("ACTION", options->action, "What to do")
      .one_of({"stop", "kill", "start"})
      .argument("NODE", options->node, "Whose agent")
      .option("--wait", options->wait_seconds, "How long it may take (default: 10)")
      .placeholder("SECONDS");
  options->local.add_to(verb);
  verb.hidden().run([options] { return run_agent_action(*options); });
}

}  // namespace

void add_local_hidden(Program& program) {
  add_controller(program);
  add_init(program);
  add_agent(program);
}

}  // namespace weir::cli
