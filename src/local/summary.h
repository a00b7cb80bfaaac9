#pragma once

#include <string>

#include "local/cluster.h"
#include "local/status.h"

namespace weir::local {

// What `weir up` has made, for a person.
std::string summary(const Cluster& cluster, const ClusterStatus& status);
// "3 of 9 pods ready, waiting for shop/cart-... (why)"
std::string progress_line(const ClusterStatus& status);
// The pods and agents that are not as they should be, one line each.
std::string complaints(const ClusterStatus& status);

}  // namespace weir::local
