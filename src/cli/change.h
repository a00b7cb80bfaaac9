#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/local_options.h"
#include "local/applied.h"

namespace weir::cli {

// What apply and delete have in common.
struct ChangeOptions {
  LocalOptions local;
  std::vector<std::string> manifests;
  std::uint64_t wait_seconds = 0;
  Output output = Output::kText;
};

using Change = std::function<Result<std::vector<local::Applied::Outcome>>(
    local::Applied&, const local::Cluster&, const Manifests&)>;

// Loads the manifests, changes the cluster, prints what came of each object, and waits.
int run_change(const ChangeOptions& options, const Change& change);

}  // namespace weir::cli
