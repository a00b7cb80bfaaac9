#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cli/agents.h"
#include "cli/kubectl.h"

namespace weir::cli {

// Sockets of this machine that lead to the agents of a cluster: each connection is a `kubectl exec`
// of `weir relay` in the agent's pod, so that all verbs work as beside an agent.
class Bridge {
 public:
  // Of the agents that run, or the one of `node`; of others it says on stderr why not.
  static Result<std::unique_ptr<Bridge>> open(const Kubectl& kubectl, const std::string& node);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  const std::vector<Agent>& agents() const { return agents_; }

 private:
  struct End {
    std::string node;
    Fd listener;
  };
  explicit Bridge(const Kubectl& kubectl) : kubectl_(kubectl) {}
  Result<void> listen(const std::vector<AgentPod>& pods);
  void serve();
  void connect(const End& end);
  std::string pod_of(const std::string& node);

  Kubectl kubectl_;
  std::string folder_;
  std::vector<Agent> agents_;
  std::vector<End> ends_;
  std::map<std::string, std::string> pods_;  // by node; one that is replaced has another name
  std::int64_t listed_ = 0;                  // when, in seconds
  std::vector<pid_t> started_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace weir::cli
