#pragma once

#include <string>

namespace weir {

// Where the v2 hierarchy is mounted; empty: nowhere.
std::string find_cgroup2();

}  // namespace weir
