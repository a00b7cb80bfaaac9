#pragma once

#include "base/fd.h"

namespace weir::cli {

// Readable once SIGINT or SIGTERM came; blocks both, so that a reader ends in good order.
Fd stop_signal();

}  // namespace weir::cli
