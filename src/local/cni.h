#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "k8s/manifests.h"
#include "local/job.h"
#include "model/key.h"

namespace weir::local {

inline constexpr int kCniTryAgain = 11;

// A call of the CNI plugin, as a container runtime makes it.
struct CniCall {
  std::string plugin;
  std::string command;  // "ADD" or "DEL"
  std::string container_id;
  std::string netns;  // path
  ObjectKey pod;
  std::string pod_uid;
  std::string run_dir;
  std::string state_dir;
  PodBandwidth bandwidth{};
};

struct CniAnswer {
  int code = 0;         // 0: good; else the plugin's error code, or 999 when it gave none
  std::string message;  // of the error
  std::vector<Address> addresses;
};

std::string cni_config(const CniCall& call);
std::vector<std::string> cni_environment(const CniCall& call);
CniAnswer parse_cni_answer(const std::string& command, const JobResult& result);

// node_netns: descriptor of the namespace where the plugin runs.
Result<std::unique_ptr<Job>> call_cni(Loop& loop, const CniCall& call, int node_netns,
                                      std::function<void(CniAnswer)> done);

}  // namespace weir::local
