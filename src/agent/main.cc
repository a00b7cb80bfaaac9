// weir-agent: makes every part and wires it.
//
//   Source ─▶ Store ─▶ compile ─▶ Dataplane ─▶ maps      Names ◀─ Store
//               ▲                    │ events, ended       │
//   weir-cni ─▶ CniServer ─▶ Sandboxes        └────────▶ FlowRecorder ─▶ api::Server ─▶ weir
#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>

#include "agent/access.h"
#include "agent/agent.h"
#include "agent/event_writer.h"
#include "agent/options.h"
#include "agent/removal.h"
#include "sys/files.h"

namespace weir {
namespace {

// An agent that cannot start has no other way to the cluster's users than its log and this.
void tell_cluster(const AgentOptions& options, const std::string& why) {
  if (!options.objects.empty()) return;
  auto access = access_of(options);
  const char* node = options.node.empty() ? std::getenv("NODE_NAME") : options.node.c_str();
  if (access && node != nullptr) tell_why_not_started(std::move(*access), node, why);
}

int remove(const AgentOptions& options) {
  // An agent that runs would put all back.
  if (const auto lock = LockFile::acquire(options.run_dir + "/agent.pid");
      !lock && lock.error().code() == Code::kExists) {
    spdlog::error("{}", lock.error().text());
    return 1;
  }
  const auto removed =
      remove_from_node(options, [](const std::string& text) { spdlog::info("{}", text); });
  return removed ? 0 : 1;
}

// The container of a pod whose work is done.
int idle() {
  boost::asio::io_context loop;
  boost::asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([](const auto&, int) {});
  loop.run();
  return 0;
}

int run(const AgentOptions& options) {
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  if (options.remove) return remove(options);
  if (options.idle) return idle();
  Agent agent(options);
  boost::asio::signal_set signals(agent.loop(), SIGINT, SIGTERM);
  bool ended = false;
  signals.async_wait([&agent, &ended](const auto& error, int) {
    if (error) return;
    ended = true;
    agent.stop();
  });
  if (auto started = agent.start(); !started) {
    spdlog::error("{}", started.error().text());
    if (!ended) tell_cluster(options, started.error().text());
    return 1;
  }
  agent.run();
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  return weir::run(weir::parse_agent_options(argc, argv, weir::tell_cluster));
}
