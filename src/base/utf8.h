#pragma once

#include <cstddef>
#include <string_view>

namespace weir {

// The length of the UTF-8 sequence at the start of text; 0: there is none (RFC 3629).
// REQUIRES: text is not empty.
std::size_t utf8_length(std::string_view text);

// Where the first byte is that is not UTF-8; npos: all of it is.
std::size_t find_not_utf8(std::string_view text);

}  // namespace weir
