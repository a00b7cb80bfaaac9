#include "local/log_limit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"

namespace weir::local {

Result<void> limit_log(const std::string& path, std::size_t max_bytes, std::size_t kept_bytes) {
  const Fd file(open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  if (!file && errno == ENOENT) return {};
  struct stat st{};
  if (!file || fstat(file.get(), &st) != 0) return errno_error(errno, path);
  const auto size = static_cast<std::size_t>(st.st_size);
  if (size <= max_bytes || size <= kept_bytes) return {};
  std::string kept(kept_bytes, '\0');
  const ssize_t n =
      pread(file.get(), kept.data(), kept.size(), static_cast<off_t>(size - kept_bytes));
  if (n < 0) return errno_error(errno, path);
  kept.resize(static_cast<std::size_t>(n));
  kept.erase(0, kept.find('\n') + 1);
  if (ftruncate(file.get(), 0) != 0 || write(file.get(), kept.data(), kept.size()) < 0) {
    return errno_error(errno, path);
  }
  return {};
}

}  // namespace weir::local
