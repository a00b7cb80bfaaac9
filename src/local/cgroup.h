#pragma once

#include <string>

#include "base/result.h"

namespace weir::local {

Result<void> make_cgroup(const std::string& path);
// Kills what is in it and below, and removes it. Absent or empty path is success.
Result<void> remove_cgroup(const std::string& path);
// The calling process goes there. An empty path is success.
Result<void> join_cgroup(const std::string& path);

}  // namespace weir::local
