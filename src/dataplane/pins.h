#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// Where things are pinned below the node's bpffs:
//   maps/<name>            shared by all builds of one layout
//   progs-<build>/<name>   programs and stage tables of one build and its settings
//   links/<in|out|xdp>-<ifname>       dots of the name as colons
//   links/<program>               on the cgroup; kernel_drop: on its tracepoint
//   links/clsact-<ifindex>/           empty: clsact on that link is Weir's own
struct PinPaths {
  std::string root;

  std::string maps() const { return root + "/maps"; }
  std::string programs(std::string_view build) const {
    return root + "/progs-" + std::string(build);
  }
  std::string links() const { return root + "/links"; }
};

// Whether path is on a BPF file system, or would be if it existed.
bool is_on_bpffs(const std::string& path);
// Opens what is pinned at path; kNotFound when nothing is.
Result<Fd> open_pin(const std::string& path);
Result<void> pin(int fd, const std::string& path);
// The kernel's number of a program.
Result<std::uint32_t> program_id(int fd);
// mkdir; an existing directory is fine.
Result<void> make_pin_dir(const std::string& path);
// Removes a directory of pins and what it holds; absent is fine.
void remove_pin_dir(const std::string& path);

// Attached programs, by links that are pinned and held: pins outlive the agent, descriptors a BPF
// file system that is unmounted.
class PinnedLinks {
 public:
  explicit PinnedLinks(PinPaths paths) : paths_(std::move(paths)) {}

  // Held, or pinned by an earlier agent; null: neither.
  const Fd* find(const std::string& path);
  Result<void> add(const std::string& path, Fd link);
  // Where the pin of a link that is held has gone, another is made.
  Result<void> pin_again(const std::string& path);
  // Takes the pin of `old` for its own.
  void rename(const std::string& old, const std::string& path);
  // Neither held nor pinned any more; whatever the link does.
  void forget(const std::string& path);

 private:
  PinPaths paths_;
  std::map<std::string, Fd> held_;
};

}  // namespace weir
