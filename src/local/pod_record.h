#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "local/init.h"
#include "local/process.h"
#include "model/key.h"

namespace weir::local {

// What others than the controller need to know of a pod: who enters it, and who takes it down after
// the controller has died.
struct PodRecord {
  ObjectKey key;
  std::string workload;  // the Deployment it belongs to; empty: none
  std::string uid;
  std::string node;
  std::string container_id;
  bool host_network = false;
  bool attached = false;  // CNI ADD was called
  Process init;           // pid 0: none yet
  std::string cgroup;
  std::vector<InitContainer> containers;
};

std::string to_json(const PodRecord& record);
Result<PodRecord> parse_pod_record(std::string_view json);

}  // namespace weir::local
