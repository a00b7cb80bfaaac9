#pragma once

#include <string>

#include "observe/flow_recorder.h"
#include "observe/totals.h"

namespace weir {

// Prometheus text format 0.0.4. The series are bounded by hooks, reasons and maps.
std::string metrics_text(const Totals& totals, const FlowCounts& counts);

}  // namespace weir
