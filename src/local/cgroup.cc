#include "local/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <vector>

#include "base/fd.h"
#include "sys/files.h"

namespace weir::local {
namespace {

// True when nothing is left in it, below included. Waits for the kernel's word of it.
bool wait_empty(const std::string& path, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const Fd events(open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
  while (events) {
    char text[256];
    const ssize_t n = pread(events.get(), text, sizeof text, 0);
    if (n <= 0) return true;
    if (std::string_view(text, static_cast<std::size_t>(n)).find("populated 0") !=
        std::string_view::npos) {
      return true;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{events.get(), POLLPRI, 0};
    if (left.count() <= 0 || poll(&entry, 1, static_cast<int>(left.count())) == 0) return false;
  }
  return true;
}

std::vector<std::string> folders_below(const std::string& path) {
  std::vector<std::string> result;
  std::error_code ignored;
  for (auto it = std::filesystem::recursive_directory_iterator(path, ignored);
       it != std::filesystem::recursive_directory_iterator(); it.increment(ignored)) {
    if (it->is_directory(ignored)) result.push_back(it->path());
  }
  return result;
}

}  // namespace

Result<void> make_cgroup(const std::string& path) { return make_dirs(path, 0755); }

Result<void> remove_cgroup(const std::string& path) {
  if (path.empty() || access(path.c_str(), F_OK) != 0) return {};
  if (auto killed = write_existing_file(path + "/cgroup.kill", "1");
      !killed && killed.error().saved_errno() != ENOENT) {
    return killed;
  }
  if (!wait_empty(path, std::chrono::seconds(10))) {
    return Error(Code::kKernel, path + ": processes in it do not end");
  }
  auto folders = folders_below(path);
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) rmdir(folder->c_str());
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) return errno_error(errno, path);
  return {};
}

Result<void> join_cgroup(const std::string& path) {
  if (path.empty()) return {};
  return write_existing_file(path + "/cgroup.procs", "0");
}

}  // namespace weir::local
