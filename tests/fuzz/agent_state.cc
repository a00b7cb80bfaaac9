// The agent's small files as it finds them at its start: former values of sysctls, which it writes
// below /proc/sys, and API servers, which it connects to.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "agent/api_servers.h"
#include "agent/sysctls.h"
#include "k8s/api_access.h"

namespace {

void expect(bool what) {
  if (!what) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const weir::Sysctl& one : weir::parse_kept_sysctls(text)) {
    expect(one.key.starts_with("net/"));
    expect(("/" + one.key + "/").find("/../") == std::string::npos);
    expect(one.value.find('\n') == std::string::npos);
  }
  for (const std::string& url : weir::ApiServers::parse(text)) {
    expect(static_cast<bool>(weir::check_server_url(url)));
    expect(url.find_first_of(" \t\n") == std::string::npos);
  }
  return 0;
}
