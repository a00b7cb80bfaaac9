#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/sysctls.h"
#include "base/address.h"
#include "dataplane/settings.h"

namespace weir {

struct AgentOptions {
  std::string config;                         // a folder; empty: none
  std::vector<std::string> config_arguments;  // what it has, as flags
  std::string config_text;                    // config_folder_text()
  std::string node;
  std::string run_dir = "/run/weir";
  std::string state_dir = "/var/lib/weir";
  std::string bpffs = "/sys/fs/bpf/weir";
  std::string objects;                     // a directory; empty: an API server
  std::string kubeconfig;                  // empty: this is a pod
  std::vector<std::string> api_servers;    // tried before the one that the above names
  bool pod_endpoints = true;               // tell other nodes of pods, and hear of theirs so
  std::string cni_conf_dir;                // empty: no configuration of the plugin is written
  std::string cni_bin_dir;                 // of removal: where the plugin is; empty: it stays
  bool remove = false;                     // take all from the node instead of serving it
  bool idle = false;                       // do nothing until a signal
  std::vector<std::string> devices;        // empty: all links with a default route
  std::vector<Cidr> service_cidrs;         // ranges of ClusterIPs
  std::vector<Cidr> non_masquerade_cidrs;  // pods speak to them with their own addresses
  std::vector<Sysctl> sysctls;             // of the node, as its user wants them
  std::string cgroup;                      // empty: the root of the v2 hierarchy
  std::string log_level = "info";
  Settings settings;

  bool has_pod_endpoints() const { return pod_endpoints && objects.empty(); }
};

// Exits with help when argv asks for that. Refused settings are printed and given to `refused`,
// with the options as far as they are known; then it exits.
using OnRefused = std::function<void(const AgentOptions& options, const std::string& why)>;
AgentOptions parse_agent_options(int argc, char** argv, const OnRefused& refused);

// kUnavailable: the folder of settings has others now than at the start.
Result<void> check_settings_are_current(const AgentOptions& options);

}  // namespace weir
