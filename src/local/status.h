#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::local {

// What the controller says of its cluster, in status.json.
struct AgentStatus {
  std::string node;
  int pid = 0;
  bool ready = false;
  unsigned restarts = 0;
  std::string problem;
};

struct PodStatus {
  std::string namespace_;
  std::string name;
  std::string node;
  std::string phase;
  bool ready = false;
  bool terminating = false;
  bool current = false;  // as the manifests say now
  unsigned restarts = 0;
  std::vector<std::string> addresses;
  std::string problem;
};

struct ClusterStatus {
  std::uint64_t revision = 0;  // of the applied manifests that the rest belongs to
  std::size_t wanted = 0;      // pods that are to be
  std::string problem;         // with the manifests
  std::vector<AgentStatus> agents;
  std::vector<PodStatus> pods;

  bool agents_ready() const;
  // Every wanted pod is there, current and ready (or has ended well), and no other.
  bool settled() const;
};

std::string to_json(const ClusterStatus& status);
Result<ClusterStatus> parse_status(std::string_view json);

}  // namespace weir::local
