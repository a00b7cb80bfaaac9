#pragma once

#include <string>
#include <string_view>

namespace weir::cni {

// Text as a JSON string, quotes included. Bytes that are not UTF-8 become '?'.
std::string quoted(std::string_view text);

// Prints the specification's error document on stdout; gives the exit code.
int report_error(std::string_view version, int code, std::string_view message);

// All of it, on stdout. Gives the exit code.
int report_result(std::string_view document);

}  // namespace weir::cni
