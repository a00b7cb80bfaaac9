#pragma once

#include <functional>
#include <string>

#include "local/cluster.h"
#include "local/loop.h"
#include "local/paths.h"
#include "local/pod_runner.h"
#include "local/process.h"

namespace weir::local {

std::vector<std::string> agent_arguments(const Paths& paths, const Cluster& cluster,
                                         const std::string& node, const std::string& cgroup);

// Keeps the agent of one node running: one that ends is started again after a while, unless the
// hold file is there.
class AgentRunner {
 public:
  AgentRunner(Loop& loop, const Paths& paths, const Cluster& cluster, const NodeHandle& node,
              std::function<void()> changed);
  ~AgentRunner();
  AgentRunner(const AgentRunner&) = delete;
  AgentRunner& operator=(const AgentRunner&) = delete;

  void begin();
  const std::string& node() const { return node_.node.name; }
  bool ready() const { return ready_; }  // its socket answers
  pid_t pid() const { return process_.pid; }
  unsigned restarts() const { return restarts_; }
  const std::string& problem() const { return problem_; }

 private:
  Result<void> start_agent();
  void ask_socket();
  void ended();
  void later(Clock::duration delay, void (AgentRunner::*what)());

  Loop& loop_;
  const Paths& paths_;
  const Cluster& cluster_;
  const NodeHandle& node_;
  std::function<void()> changed_;
  Process process_;
  Fd pidfd_;
  bool ready_ = false;
  unsigned restarts_ = 0;
  std::string problem_;
  Loop::Id watch_ = 0;
  Loop::Id timer_ = 0;
};

}  // namespace weir::local
