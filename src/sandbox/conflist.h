#pragma once

#include <string>

namespace weir::cni {

// Name of the file: it sorts before those of most other networks, for runtimes take the first.
inline constexpr const char* kConflistFile = "05-weir.conflist";

// What a container runtime reads to know the plugin: network configuration list, CNI 1.0.0.
// `run_dir` and `state_dir`: where weir-cni finds the agent, as paths of the host. `services`: the
// agent serves ports of the node, too.
std::string conflist_text(const std::string& run_dir, const std::string& state_dir, bool services);

}  // namespace weir::cni
