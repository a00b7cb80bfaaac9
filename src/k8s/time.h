#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::k8s {

// RFC 3339 with a whole or broken second and any offset, in the years 1970 to 9999 -> seconds since
// 1970, rounded down.
std::optional<std::int64_t> parse_time(std::string_view text);

// "2026-11-24T02:00:00Z". REQUIRES: a time that parse_time() gives.
std::string format_time(std::int64_t seconds);

}  // namespace weir::k8s
