#include "agent/access.h"

#include <algorithm>

#include "agent/api_servers.h"

namespace weir {
namespace {

// As the folder of settings has them, when the settings were refused as a whole.
std::vector<std::string> unparsed_servers(const AgentOptions& options) {
  constexpr std::string_view kFlag = "--api-server=";
  std::vector<std::string> out;
  for (const std::string& argument : options.config_arguments) {
    if (!argument.starts_with(kFlag)) continue;
    std::string url = argument.substr(kFlag.size());
    if (check_server_url(url)) out.push_back(std::move(url));
  }
  return out;
}

}  // namespace

std::string api_servers_file(const AgentOptions& options) {
  return options.state_dir + "/api-servers";
}

Result<ApiAccess> access_of(const AgentOptions& options) {
  WEIR_ASSIGN(ApiAccess out,
              options.kubeconfig.empty() ? access_of_pod() : read_kubeconfig(options.kubeconfig));
  std::vector<std::string> servers = options.api_servers;
  const auto add = [&servers](const std::vector<std::string>& more) {
    for (const std::string& url : more) {
      if (std::ranges::find(servers, url) == servers.end()) servers.push_back(url);
    }
  };
  add(unparsed_servers(options));
  add(ApiServers::remembered(api_servers_file(options)));
  add(out.servers);
  out.servers = std::move(servers);
  return out;
}

}  // namespace weir
