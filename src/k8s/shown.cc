#include "k8s/shown.h"

#include <algorithm>

namespace weir::k8s {

std::string shown(std::string_view text, std::size_t max) {
  std::string out(text.substr(0, max));
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text.size() > max ? out + "..." : out;
}

}  // namespace weir::k8s
