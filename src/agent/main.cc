// weir-agent: makes every part and wires it.
//
//   DirectorySource ─▶ Store ─▶ compile ─▶ Dataplane ─▶ maps      Names ◀─ Store
//                        ▲                    │ events, ended       │
//   weir-cni ─▶ CniServer ─▶ Sandboxes        └────────▶ FlowRecorder ─▶ api::Server ─▶ weir
#include <spdlog/spdlog.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>

#include "agent/agent.h"
#include "agent/options.h"

int main(int argc, char** argv) {
  const weir::AgentOptions options = weir::parse_agent_options(argc, argv);
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  weir::Agent agent(options);
  boost::asio::signal_set signals(agent.loop(), SIGINT, SIGTERM);
  signals.async_wait([&agent](const auto& error, int) {
    if (!error) agent.stop();
  });
  if (auto started = agent.start(); !started) {
    spdlog::error("{}", started.error().text());
    return 1;
  }
  agent.run();
  return 0;
}
