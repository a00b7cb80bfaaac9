#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

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

// A log's text -> stdout, as it is or as an object for each line.
class LogWriter {
 public:
  LogWriter(const PodRecord& pod, const InitContainer& container, bool json)
      : pod_(pod), container_(container), json_(json) {}

  Result<void> write(std::string_view text) {
    if (!json_) return write_out(text);
    rest_ += text;
    std::string out;
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      out += object(rest_.substr(begin, end - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    return write_out(out);
  }

  // A last line without its end.
  Result<void> finish() {
    return rest_.empty() ? Result<void>() : write_out(object(std::exchange(rest_, {})));
  }

 private:
  std::string object(const std::string& line) const {
    const nlohmann::ordered_json json = {{"namespace", pod_.key.namespace_},
                                         {"pod", pod_.key.name},
                                         {"container", container_.name},
                                         {"line", line}};
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  const PodRecord& pod_;
  const InitContainer& container_;
  const bool json_;
  std::string rest_;
};

Result<void> copy_rest(int file, LogWriter& writer) {
  char buffer[65536];
  struct stat st{};
  // It was cut: what is left of it comes from its beginning.
  if (fstat(file, &st) == 0 && st.st_size < lseek(file, 0, SEEK_CUR)) lseek(file, 0, SEEK_SET);
  while (true) {
    const ssize_t n = read(file, buffer, sizeof buffer);
    if (n < 0) return errno_error(errno, "read the log");
    if (n == 0) return {};
    WEIR_TRY(writer.write({buffer, static_cast<std::size_t>(n)}));
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
                       const LogOptions& options) {
  const Fd file(open(container.log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno_error(errno, container.log);
  const Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(inotify.get(), container.log.c_str(), IN_MODIFY | IN_DELETE_SELF);
  if (options.last > 0) WEIR_TRY(seek_last(file.get(), options.last));
  LogWriter writer(pod, container, options.json);
  WEIR_TRY(copy_rest(file.get(), writer));
  while (options.follow && access(paths.pod_record(pod.key).c_str(), F_OK) == 0) {
    pollfd entry{inotify.get(), POLLIN, 0};
    poll(&entry, 1, 1000);
    char events[4096];
    while (read(inotify.get(), events, sizeof events) > 0) {
    }
    WEIR_TRY(copy_rest(file.get(), writer));
  }
  return writer.finish();
}

}  // namespace weir::local
