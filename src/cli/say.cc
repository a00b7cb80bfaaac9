#include "cli/say.h"

#include <cstdio>

namespace weir::cli {

void say(std::string_view line) {
  while (line.ends_with('\n')) line.remove_suffix(1);
  const auto text = fmt::format("weir: {}\n", line);
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

}  // namespace weir::cli
