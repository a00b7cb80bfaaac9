#include "sys/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>

namespace weir {
namespace {

Result<void> write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, path);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter{0};
  const auto slash = path.rfind('/');
  const auto folder = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  return fmt::format("{}.{}.{}.{}", folder, name, getpid(), counter++);
}

// Sorted, without "." and "..".
Result<std::vector<std::string>> all_names(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (!dir && errno == ENOENT) return names;
  if (!dir) return errno_error(errno, path);
  while (const dirent* entry = readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, path);
  std::string content;
  char chunk[4096];
  while (true) {
    const ssize_t n = read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, path);
    if (n == 0) return content;
    content.append(chunk, static_cast<std::size_t>(n));
    if (content.size() > max_bytes) {
      return Error(Code::kInvalid, fmt::format("{}: longer than {} bytes", path, max_bytes));
    }
  }
}

Result<void> write_file_atomic(const std::string& path, std::string_view content, int mode) {
  const std::string temporary = temporary_name(path);
  Fd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return errno_error(errno, temporary);
  auto written = write_all(fd.get(), content, temporary);
  fd.reset();
  if (written && rename(temporary.c_str(), path.c_str()) != 0) written = errno_error(errno, path);
  if (!written) unlink(temporary.c_str());
  return written;
}

Result<void> write_existing_file(const std::string& path, std::string_view content) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, path);
  return write_all(fd.get(), content, path);
}

Result<void> remove_file(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error(errno, path);
  return {};
}

Result<void> make_dirs(const std::string& path, int mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), static_cast<mode_t>(mode)) != 0 && errno != EEXIST) {
      return errno_error(errno, part);
    }
    if (end == std::string::npos) return {};
  }
}

Result<std::vector<std::string>> list_dir(const std::string& path) {
  WEIR_ASSIGN(auto names, all_names(path));
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  return names;
}

Result<void> remove_temporaries(const std::string& folder, std::chrono::seconds age) {
  WEIR_ASSIGN(const auto names, all_names(folder));
  const std::time_t latest = std::time(nullptr) - age.count();
  for (const auto& name : names) {
    const std::string path = folder + "/" + name;
    struct stat found{};
    const bool old =
        age.count() == 0 || (stat(path.c_str(), &found) == 0 && found.st_mtim.tv_sec <= latest);
    if (name.starts_with('.') && old) WEIR_TRY(remove_file(path));
  }
  return {};
}

Result<LockFile> LockFile::acquire(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno_error(errno, path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return errno_error(errno, path);
    const auto holder = read_file(path, 64);
    return Error(Code::kExists, fmt::format("{}: locked by process {}", path,
                                            holder && !holder->empty() ? *holder : "unknown"));
  }
  if (ftruncate(fd.get(), 0) != 0) return errno_error(errno, path);
  WEIR_TRY(write_all(fd.get(), fmt::format("{}", getpid()), path));
  return LockFile(std::move(fd));
}

}  // namespace weir
