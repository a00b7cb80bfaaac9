#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "k8s/manifests.h"
#include "local/cluster.h"
#include "local/paths.h"
#include "local/status.h"

namespace weir::local {

using Progress = std::function<void(std::string_view line)>;

// The folder of the running program, where its companions are.
std::string own_folder();

// What is missing on this machine for a local cluster: kInvalid or kKernel with the remedy in
// words.
Result<void> check_machine(const Cluster& cluster);

// Makes nodes and starts the controller. On failure everything is taken down again.
Result<void> bring_up(const Paths& paths, const Cluster& cluster, const Manifests& manifests,
                      const Progress& progress);

// Looks at the status until `enough` says so, time is over, or stop_fd becomes readable (-1: none).
enum class Waited { kEnough, kLate, kStopped, kDead };
Waited wait_for_status(const Paths& paths, std::chrono::milliseconds limit, int stop_fd,
                       const std::function<bool(const ClusterStatus&)>& enough);

Result<ClusterStatus> read_status(const Paths& paths);
// kNotFound when there is no such cluster, kUnavailable when its controller has died.
Result<Cluster> find_cluster(const Paths& paths);

bool controller_runs(const Paths& paths);

// Ends a node's agent, which is not started again before release_agent.
Result<void> hold_agent(const Paths& paths, const std::string& node, int signal);
Result<void> release_agent(const Paths& paths, const std::string& node);

// Takes everything down, whatever state it is in. False: there was nothing.
Result<bool> take_down(const Paths& paths, const Progress& progress);
// The folders that clusters share go with the last of them.
void remove_empty_base(const Paths& paths);

}  // namespace weir::local
