#include "local/process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>

#include "sys/files.h"

namespace weir::local {
namespace {

struct Stat {
  char state;
  std::uint64_t start;
};

Result<Stat> parse_stat(std::string_view text) {
  const Error wrong(Code::kInvalid, "unexpected /proc/PID/stat");
  const auto close = text.rfind(')');
  if (close == std::string_view::npos || close + 2 >= text.size()) return wrong;
  text.remove_prefix(close + 2);  // from field 3 on
  Stat stat{text[0], 0};
  for (int field = 3; field < 22; ++field) {
    const auto blank = text.find(' ');
    if (blank == std::string_view::npos) return wrong;
    text.remove_prefix(blank + 1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), stat.start);
  if (error != std::errc()) return wrong;
  return stat;
}

}  // namespace

Result<std::uint64_t> parse_start(std::string_view text) {
  WEIR_ASSIGN(const auto stat, parse_stat(text));
  return stat.start;
}

Result<Process> identify(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  const Error gone(Code::kNotFound, fmt::format("no process {}", pid));
  if (!text) return gone;
  WEIR_ASSIGN(const auto stat, parse_stat(*text));
  if (stat.state == 'Z' || stat.state == 'X') return gone;
  return Process{pid, stat.start};
}

// The pidfd comes first, then the look at who it is: the number cannot change hands in between.
Result<Fd> open_process(const Process& process) {
  Fd fd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd) return errno_error(errno, fmt::format("process {}", process.pid));
  WEIR_ASSIGN(const auto now, identify(process.pid));
  if (now != process) {
    return Error(Code::kNotFound, fmt::format("process {} is another one", process.pid));
  }
  return fd;
}

bool is_alive(const Process& process) { return open_process(process).has_value(); }

Result<void> signal_process(const Process& process, int signal) {
  const auto fd = open_process(process);
  if (!fd) return {};
  if (syscall(SYS_pidfd_send_signal, fd->get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
    return errno_error(errno, fmt::format("signal process {}", process.pid));
  }
  return {};
}

namespace {

// True when all have ended. Drops those that have from the list.
bool wait_all(std::vector<Fd>& fds, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!fds.empty()) {
    pollfd entry{fds.back().get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    const int n = poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    waitid(P_PIDFD, static_cast<id_t>(entry.fd), nullptr, WEXITED);  // if it is a child
    fds.pop_back();
  }
  return true;
}

void signal_all(const std::vector<Fd>& fds, int signal) {
  for (const auto& fd : fds) syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0);
}

}  // namespace

Result<void> end_processes(const std::vector<Process>& processes, std::chrono::milliseconds grace) {
  std::vector<Fd> fds;
  for (const auto& process : processes) {
    if (auto fd = open_process(process)) fds.push_back(std::move(*fd));
  }
  if (grace.count() > 0) {
    signal_all(fds, SIGTERM);
    if (wait_all(fds, grace)) return {};
  }
  signal_all(fds, SIGKILL);
  if (!wait_all(fds, std::chrono::seconds(10))) {
    return Error(Code::kKernel, "a process does not end, though killed");
  }
  return {};
}

std::string to_json(const Process& process) {
  return nlohmann::json{{"pid", process.pid}, {"start", process.start}}.dump() + "\n";
}

Result<Process> parse_process(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("pid") || !json["pid"].is_number_integer() ||
      !json.contains("start") || !json["start"].is_number_unsigned()) {
    return Error(Code::kInvalid, "not the record of a process");
  }
  return Process{json["pid"].get<pid_t>(), json["start"].get<std::uint64_t>()};
}

Result<Fd> text_file(std::string_view content) {
  Fd fd(memfd_create("weir", MFD_CLOEXEC));
  if (!fd) return errno_error(errno, "memfd_create");
  while (!content.empty()) {
    const ssize_t n = write(fd.get(), content.data(), content.size());
    if (n < 0) return errno_error(errno, "write memory file");
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return errno_error(errno, "lseek");
  return fd;
}

Result<std::string> read_text_file(int fd) {
  struct stat st{};
  if (fstat(fd, &st) != 0) return errno_error(errno, "memory file");
  std::string text(static_cast<std::size_t>(st.st_size), '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  if (n < 0) return errno_error(errno, "read memory file");
  text.resize(static_cast<std::size_t>(n));
  return text;
}

}  // namespace weir::local
