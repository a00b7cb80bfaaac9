// A kubeconfig as people and tools write it: what is taken can be used.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "k8s/api_access.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto access = weir::parse_kubeconfig(text, "/etc/weir/");
  if (!access) {
    if (access.error().text().empty()) std::abort();
    return 0;
  }
  if (access->servers.size() != 1 || !weir::check_server_url(access->servers[0])) std::abort();
  for (const auto* path :
       {&access->ca_path, &access->token_path, &access->certificate_path, &access->key_path}) {
    if (!path->empty() && !path->starts_with('/')) std::abort();
  }
  return 0;
}
