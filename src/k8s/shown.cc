#include "k8s/shown.h"

#include "base/utf8.h"

namespace weir::k8s {

std::string shown(std::string_view text, std::size_t max) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    const bool is_character = length != 0 && first >= 0x20 && first != 0x7f;
    const std::string_view next = is_character ? text.substr(0, length) : "?";
    if (out.size() + next.size() > max) return out + "...";
    out += next;
    text.remove_prefix(is_character ? length : 1);
  }
  return out;
}

}  // namespace weir::k8s
