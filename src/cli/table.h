#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

// Columns padded to their widest cell, two spaces apart; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view indent = "");

std::string bytes_text(std::uint64_t bytes);           // "842 B", "5.2 kB"
std::string duration_text(std::uint64_t nanoseconds);  // "180 µs", "1.2 ms", "42 s", "3 min"
std::string uptime_text(std::uint64_t seconds);        // "2 d 3 h"
std::string count_text(std::uint64_t count);           // "12 345"

// Of text as a terminal shows it: a UTF-8 sequence is one.
std::size_t width(std::string_view text);

}  // namespace weir::cli
