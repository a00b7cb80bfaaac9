#pragma once

#include "options.h"

namespace weir::pod_server {

// Serves and calls until SIGTERM, or until --requests are done. The exit code.
int run(const Options& options);

}  // namespace weir::pod_server
