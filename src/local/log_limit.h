#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace weir::local {

inline constexpr std::size_t kMaxLog = 8 << 20;
inline constexpr std::size_t kKeptLog = 1 << 20;

// A log longer than max_bytes keeps its last lines, at most kept_bytes of them. Its writers append:
// what they write in that instant may be lost. Absent is success.
Result<void> limit_log(const std::string& path, std::size_t max_bytes, std::size_t kept_bytes);

}  // namespace weir::local
