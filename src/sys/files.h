#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// Whole contents; longer than max_bytes is kInvalid, absent is kNotFound.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 1 << 20);

// Readers see the old or the new content, never a part: writes a temporary file beside it and
// renames it. Not durable across power loss. Temporary names start with a dot.
Result<void> write_file_atomic(const std::string& path, std::string_view content, int mode = 0600);

// Writes to a file that exists already (sysctls, cgroup files).
Result<void> write_existing_file(const std::string& path, std::string_view content);

// An absent file is success.
Result<void> remove_file(const std::string& path);

// Like mkdir -p.
Result<void> make_dirs(const std::string& path, int mode = 0700);

// Sorted names without those that begin with a dot. An absent directory is empty.
Result<std::vector<std::string>> list_dir(const std::string& path);

// Removes what interrupted atomic writes left: files whose names begin with a dot. Where others
// write, too: those only that were last written to at least so long ago.
Result<void> remove_temporaries(const std::string& folder, std::chrono::seconds age = {});

// A file that this process keeps locked, with its pid as content. The lock ends with the process.
class LockFile {
 public:
  // kExists, naming the holder's pid, when another process has it.
  static Result<LockFile> acquire(const std::string& path);

 private:
  explicit LockFile(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace weir
