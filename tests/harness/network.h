#pragma once

#include "base/result.h"

namespace weir {

// Moves the calling thread into a new network namespace with the links of harness/cast.h: three pod
// links, an uplink with node's addresses and a default route by the gateway, and the tunnel device.
// No packet ever moves on them: they give ifindexes, routes and MTUs to the programs.
Result<void> enter_test_network();

}  // namespace weir
