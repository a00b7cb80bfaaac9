#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/spawn.h"

namespace weir::cli {

// The user's own kubectl: it knows his clusters, and how he proves who he is.
class Kubectl {
 public:
  std::string kubeconfig;  // empty: kubectl's default
  std::string context;     // empty: the current one

  // Runs it to its end, with `in` as standard input. kNotFound: there is no kubectl.
  Result<ProgramOutput> run(const std::vector<std::string>& arguments,
                            std::string_view in = {}) const;
  // Standard output; what it says on failure, as an Error: kUnavailable when there is no answer.
  Result<std::string> ask(const std::vector<std::string>& arguments,
                          std::string_view in = {}) const;
  // `kubectl get` as JSON; an empty object when what is asked for by name is not there.
  Result<nlohmann::json> get(std::vector<std::string> what) const;
  // Starts it, as spawn() does.
  Result<pid_t> start(const std::vector<std::string>& arguments, int in, int out, int err) const;

 private:
  std::vector<std::string> command(const std::vector<std::string>& arguments) const;
};

// Where Weir is in a cluster, as deploy/cni/weir-cni.yaml makes it.
inline constexpr const char* kNamespace = "weir-system";
inline constexpr const char* kAgentLabel = "app.kubernetes.io/name=weir-agent";

struct AgentPod {
  std::string node;
  std::string pod;
  std::string state;  // "Running", or why not
  bool runs() const { return state == "Running"; }
};

// In the order of the nodes' names. kNotFound: none; kUnavailable: the cluster does not answer.
Result<std::vector<AgentPod>> agent_pods(const Kubectl& kubectl);

}  // namespace weir::cli
