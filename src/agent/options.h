#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "dataplane/settings.h"

namespace weir {

struct AgentOptions {
  std::string node;
  std::string run_dir = "/run/weir";
  std::string state_dir = "/var/lib/weir";
  std::string bpffs = "/sys/fs/bpf/weir";
  std::string objects;                   // a directory; empty: an API server
  std::string kubeconfig;                // empty: this is a pod
  std::vector<std::string> api_servers;  // tried before the one that the above names
  std::string cni_conf_dir;              // empty: no configuration of the plugin is written
  std::vector<std::string> devices;      // empty: all links with a default route
  std::vector<Cidr> service_cidrs;       // ranges of ClusterIPs
  std::string cgroup;                    // empty: the root of the v2 hierarchy
  std::string log_level = "info";
  Settings settings;
};

// Exits with usage or help when argv asks for that.
AgentOptions parse_agent_options(int argc, char** argv);

}  // namespace weir
