#pragma once

#include <string>
#include <string_view>

namespace weir::k8s {

// What a stranger wrote, for a message: at most `max` bytes of it, control characters and what is
// not UTF-8 as '?'.
std::string shown(std::string_view text, std::size_t max = 40);

}  // namespace weir::k8s
