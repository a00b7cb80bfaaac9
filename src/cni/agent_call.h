#pragma once

#include <string>

namespace weir::cni {

struct AgentReply {
  bool reached = false;  // the agent took the connection
  std::string document;  // empty with `reached`: it went away before it answered
  std::string fault;     // why not
};

// One request, one answer. Waits as long as a kubelet would.
AgentReply call_agent(const std::string& run_dir, const std::string& request);

// Keeps a request for the agent's next start. Gives what went wrong, or nothing.
std::string spool_request(const std::string& state_dir, const std::string& request);

}  // namespace weir::cni
