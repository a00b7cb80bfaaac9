#pragma once

#include <string>

#include "observe/flow_recorder.h"
#include "observe/totals.h"

namespace weir {

// Prometheus text format 0.0.4. The series are bounded by hooks, reasons, maps and
// ServiceCounters::kMost.
std::string metrics_text(const Totals& totals, const FlowCounts& counts,
                         const ServiceCounters& services);

}  // namespace weir
