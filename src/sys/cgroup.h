#pragma once

#include <string>

namespace weir {

// Where the v2 hierarchy is mounted; empty: nowhere.
std::string find_cgroup2();

bool is_cgroup2(const std::string& path);

// The v2 hierarchy at `path`: itself, or its folder `unified` where the path is of a host that has
// both versions. `path` as it is when neither is of version 2.
std::string cgroup2_below(const std::string& path);

}  // namespace weir
