#pragma once

#include "base/result.h"
#include "local/cluster.h"
#include "local/paths.h"

namespace weir::local {

// Namespaces, links and addresses of the nodes' network: a namespace with a bridge, and one per
// node whose eth0 is on it. On failure what was made stays, for remove_underlay.
Result<void> make_underlay(const Paths& paths, const Cluster& cluster);
// What is not there is success.
Result<void> remove_underlay(const Paths& paths);

}  // namespace weir::local
