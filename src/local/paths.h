#pragma once

#include <string>

#include "model/key.h"

namespace weir::local {

inline constexpr const char* kDefaultBase = "/run/weir/local";

// Where the files of one cluster are.
struct Paths {
  std::string base = kDefaultBase;
  std::string name = "default";

  std::string root() const { return base + "/" + name; }
  std::string cluster_file() const { return root() + "/cluster.json"; }
  std::string lock_file() const { return root() + "/up.lock"; }
  std::string controller_record() const { return root() + "/controller.json"; }
  std::string controller_lock() const { return root() + "/controller.lock"; }
  std::string controller_log() const { return root() + "/controller.log"; }
  std::string status_file() const { return root() + "/status.json"; }
  // Manifests as applied: what the controller makes true.
  std::string applied() const { return root() + "/applied"; }
  // Objects as the API server would give them: what the agents read.
  std::string objects() const { return root() + "/objects"; }

  // What CoreDNS reads.
  std::string dns() const { return root() + "/dns"; }

  std::string node(const std::string& node) const { return root() + "/nodes/" + node; }
  std::string node_run(const std::string& n) const { return node(n) + "/run"; }
  std::string node_state(const std::string& n) const { return node(n) + "/state"; }
  std::string node_bpffs(const std::string& n) const { return node(n) + "/bpf"; }
  std::string agent_log(const std::string& n) const { return node(n) + "/agent.log"; }
  std::string agent_record(const std::string& n) const { return node(n) + "/agent.json"; }
  // While it exists, the agent is not started again.
  std::string agent_hold(const std::string& n) const { return node(n) + "/agent.hold"; }
  std::string agent_socket(const std::string& n) const { return node_run(n) + "/agent.sock"; }

  std::string pods() const { return root() + "/pods"; }
  std::string pod(const ObjectKey& key) const { return pods() + "/" + key.to_string(); }
  std::string pod_record(const ObjectKey& key) const { return pod(key) + "/record.json"; }
  std::string pod_netns(const ObjectKey& key) const { return pod(key) + "/netns"; }
  std::string pod_hosts(const ObjectKey& key) const { return pod(key) + "/hosts"; }
  std::string pod_resolv_conf(const ObjectKey& key) const { return pod(key) + "/resolv.conf"; }
  std::string pod_log(const ObjectKey& key) const { return pod(key) + "/log"; }

  // Named network namespaces, as `ip netns` knows them.
  std::string netns_name(const std::string& node) const { return "weir-" + name + "-" + node; }
  std::string netns_path(const std::string& node) const { return "/run/netns/" + netns_name(node); }
  std::string underlay_netns() const { return netns_path("net"); }
};

}  // namespace weir::local
