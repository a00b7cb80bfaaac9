#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// Where things are pinned below the node's bpffs:
//   maps/<name>            shared by all builds of one layout
//   progs-<build>/<name>   programs and stage tables of one build and its settings
//   links/<in|out|xdp>-<ifname>       dots of the name as colons
//   links/<program>               on the cgroup
struct PinPaths {
  std::string root;

  std::string maps() const { return root + "/maps"; }
  std::string programs(std::string_view build) const {
    return root + "/progs-" + std::string(build);
  }
  std::string links() const { return root + "/links"; }
};

// Opens what is pinned at path; kNotFound when nothing is.
Result<Fd> open_pin(const std::string& path);
Result<void> pin(int fd, const std::string& path);
// The kernel's number of a program.
Result<std::uint32_t> program_id(int fd);
// mkdir; an existing directory is fine.
Result<void> make_pin_dir(const std::string& path);
// Removes a directory of pins and what it holds; absent is fine.
void remove_pin_dir(const std::string& path);

}  // namespace weir
