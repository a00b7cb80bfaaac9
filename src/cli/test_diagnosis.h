#pragma once

#include <string>
#include <vector>

#include "cli/test_plan.h"

namespace weir::cli {

struct Outcome {
  Question question;
  std::string fault;    // empty: answered
  std::string dropped;  // why, where an agent has seen it dropped; else empty
};

// What the faults have in common, in the words of somebody who is to mend it: which way between
// which nodes, and what to look at. A fault that fits nothing else is told as it is; none is left
// out.
std::vector<std::string> diagnose(const TestBed& bed, const std::vector<Outcome>& outcomes);

}  // namespace weir::cli
