#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/kube_options.h"
#include "cli/test_plan.h"

namespace weir::cli {

// All that `weir test` makes in a cluster is in this namespace.
inline constexpr const char* kTestNamespace = "weir-test";

// Each node has a pod of its own network and one in the host's; all pods are behind a Service.
// wait: as kubectl has it, for their start; pods that did not are no error.
Result<void> make_test_bed(const Kubectl& kubectl, const std::string& wait);
// As the API server has it; pods that are not ready, and why, are told to `faults`.
Result<TestBed> read_test_bed(const Kubectl& kubectl, const std::string& domain,
                              std::vector<std::string>& faults);
void unmake_test_bed(const Kubectl& kubectl);

}  // namespace weir::cli
