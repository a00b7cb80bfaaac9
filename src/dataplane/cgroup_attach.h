#pragma once

#include <string>

#include "base/result.h"
#include "dataplane/pins.h"
#include "dataplane/programs.h"

namespace weir {

// Socket programs on a cgroup, by pinned links: they outlive the agent, beside the programs of
// others.
class CgroupAttacher {
 public:
  explicit CgroupAttacher(PinPaths paths) : paths_(std::move(paths)) {}

  // Makes all of `programs` run for the processes of the cgroup (a folder of the v2 hierarchy) and
  // below. What is attached there already is adopted or replaced without a gap; what is attached
  // elsewhere is let go. Whether any was not attached before.
  Result<bool> attach(const std::string& cgroup, const Programs& programs);
  // Nothing there is fine.
  void detach();

 private:
  std::string pin_path(const char* program) const;
  Result<bool> attach_one(int cgroup, std::uint64_t cgroup_id, const SocketProgram& what,
                          int program);

  PinPaths paths_;
  PinnedLinks links_{paths_};
};

}  // namespace weir
