#pragma once

#include <string>

#include "cli/command.h"
#include "k8s/manifests.h"
#include "local/paths.h"
#include "local/status.h"
#include "sys/files.h"

namespace weir::cli {

// Which local cluster a verb is about.
struct LocalOptions {
  std::string name = "default";
  std::string run_dir = local::kDefaultBase;

  // Adds --name and --run-dir.
  void add_to(Command& command);
  local::Paths paths() const;  // absolute: other processes get them
  // Held by who makes a cluster or takes it down. kExists while another does.
  Result<LockFile> lock() const;
  // Its holder says that the cluster is no more: removes the lock and folders that are empty now.
  void forget() const;
};

// Warnings and errors to stderr. False: there were errors.
bool print_findings(const ManifestsResult& loaded);

// What to try next on a cluster that is up.
std::string hints(const std::string& name, const local::ClusterStatus& status);

// The last lines of the controller's or the agents' logs.
std::string controller_log_end(const local::Paths& paths);
std::string agent_log_ends(const local::Paths& paths);

}  // namespace weir::cli
