#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "local/enter.h"

namespace weir::local {
namespace {

Result<void> write_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(errno, "write");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> copy_rest(int file) {
  char buffer[65536];
  struct stat st{};
  // It was cut: what is left of it comes from its beginning.
  if (fstat(file, &st) == 0 && st.st_size < lseek(file, 0, SEEK_CUR)) lseek(file, 0, SEEK_SET);
  while (true) {
    const ssize_t n = read(file, buffer, sizeof buffer);
    if (n < 0) return errno_error(errno, "read the log");
    if (n == 0) return {};
    WEIR_TRY(write_out({buffer, static_cast<std::size_t>(n)}));
  }
}

// Puts the file's position to where the last lines begin.
Result<void> seek_last(int file, std::uint64_t lines) {
  off_t position = lseek(file, 0, SEEK_END);
  std::uint64_t seen = 0;
  char buffer[4096];
  while (position > 0) {
    const auto size = static_cast<std::size_t>(std::min<off_t>(position, sizeof buffer));
    position -= static_cast<off_t>(size);
    if (pread(file, buffer, size, position) < 0) return errno_error(errno, "read the log");
    for (std::size_t i = size; i-- > 0;) {
      if (buffer[i] != '\n' || seen++ < lines) continue;
      lseek(file, position + static_cast<off_t>(i) + 1, SEEK_SET);
      return {};
    }
  }
  lseek(file, 0, SEEK_SET);
  return {};
}

}  // namespace

Result<void> print_log(const Paths& paths, const PodRecord& pod, const InitContainer& container,
                       std::uint64_t last, bool follow) {
  const Fd file(open(container.log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno_error(errno, container.log);
  const Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(inotify.get(), container.log.c_str(), IN_MODIFY | IN_DELETE_SELF);
  if (last > 0) WEIR_TRY(seek_last(file.get(), last));
  WEIR_TRY(copy_rest(file.get()));
  while (follow && access(paths.pod_record(pod.key).c_str(), F_OK) == 0) {
    pollfd entry{inotify.get(), POLLIN, 0};
    poll(&entry, 1, 1000);
    char events[4096];
    while (read(inotify.get(), events, sizeof events) > 0) {
    }
    WEIR_TRY(copy_rest(file.get()));
  }
  return {};
}

}  // namespace weir::local
