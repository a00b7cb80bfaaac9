#pragma once

#include "agent/options.h"
#include "k8s/api_access.h"

namespace weir {

// How the agent reaches its API server: the servers that the options name, then those that it
// remembers, then what the pod's environment or the kubeconfig says.
Result<ApiAccess> access_of(const AgentOptions& options);

// Where the remembered ones are.
std::string api_servers_file(const AgentOptions& options);

}  // namespace weir
