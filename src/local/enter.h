#pragma once

#include <signal.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "local/paths.h"
#include "local/pod_record.h"

namespace weir::local {

// "shop/cart-0", or "cart-0" in namespace default. A name that is no pod's stands for the first pod
// of the Deployment of that name.
Result<PodRecord> find_pod(const Paths& paths, const std::string& text);
// Empty name: the first.
Result<const InitContainer*> find_container(const PodRecord& pod, const std::string& name);

// Descriptors for what a command writes.
struct Streams {
  int out = 1;
  int err = 2;
};

// Kills the command, then ends who called run_in_pod. Killing only the latter would leave the
// command's corpse to whoever reaps orphans here, and a pod does not end before its last corpse.
constexpr int kEndCommand = SIGALRM;

// Runs a command in the pod's namespaces with this process's terminal, in a process group of its
// own. Its exit code, or 128 + signal; 127 when there is no such program.
Result<int> run_in_pod(const PodRecord& pod, const InitContainer& container,
                       const std::vector<std::string>& argv, const Streams& streams = {});

struct LogOptions {
  std::uint64_t last = 0;  // lines; 0: all
  bool follow = false;     // until the pod is gone
  bool json = false;       // an object for each line
};

// Writes a container's log to stdout.
Result<void> print_log(const Paths& paths, const PodRecord& pod, const InitContainer& container,
                       const LogOptions& options);

}  // namespace weir::local
