#include "cni/report.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace weir::cni {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else {
      out += byte < 0x80 ? c : '?';
    }
  }
  return out + '"';
}

int report_error(std::string_view version, int code, std::string_view message) {
  report_result("{\"cniVersion\":" + quoted(version) + ",\"code\":" + std::to_string(code) +
                ",\"msg\":" + quoted(message) + "}");
  return 1;
}

int report_result(std::string_view document) {
  while (!document.empty()) {
    const ssize_t n = write(STDOUT_FILENO, document.data(), document.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return 1;
    document.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

}  // namespace weir::cni
