// Looking at a running cluster from outside.

#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "local/process.h"
#include "local/up.h"
#include "sys/files.h"

namespace weir::local {
namespace {

Result<Process> controller_process(const Paths& paths) {
  WEIR_ASSIGN(const auto text, read_file(paths.controller_record()));
  return parse_process(text);
}

using Time = std::chrono::steady_clock;

// Waits for a new status, at most a while. True: stop_fd is readable.
bool wait_for_change(int inotify, int stop_fd, Time::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Time::now());
  pollfd fds[] = {{inotify, POLLIN, 0}, {stop_fd, POLLIN, 0}};
  poll(fds, 2, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 200)));
  char buffer[4096];
  while (read(inotify, buffer, sizeof buffer) > 0) {
  }
  return fds[1].revents != 0;
}

}  // namespace

Result<ClusterStatus> read_status(const Paths& paths) {
  WEIR_ASSIGN(const auto text, read_file(paths.status_file(), 16 << 20));
  return parse_status(text);
}

Result<Cluster> find_cluster(const Paths& paths) {
  const auto text = read_file(paths.cluster_file());
  if (!text && text.error().code() == Code::kNotFound) {
    return Error(Code::kNotFound,
                 fmt::format("there is no local cluster '{}': `weir up` makes one", paths.name));
  }
  if (!text) return text.error();
  return parse_cluster(*text);
}

bool controller_runs(const Paths& paths) {
  const auto controller = controller_process(paths);
  return controller && is_alive(*controller);
}

Result<void> hold_agent(const Paths& paths, const std::string& node, int signal) {
  WEIR_ASSIGN(const auto text, read_file(paths.agent_record(node)));
  WEIR_ASSIGN(const auto agent, parse_process(text));
  WEIR_TRY(write_file_atomic(paths.agent_hold(node), ""));
  return signal_process(agent, signal);
}

Result<void> release_agent(const Paths& paths, const std::string& node) {
  return remove_file(paths.agent_hold(node));
}

Waited wait_for_status(const Paths& paths, std::chrono::milliseconds limit, int stop_fd,
                       const std::function<bool(const ClusterStatus&)>& enough) {
  const auto deadline = Time::now() + limit;
  const Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(inotify.get(), paths.root().c_str(), IN_MOVED_TO);
  while (true) {
    const auto status = read_status(paths);
    if (status && enough(*status)) return Waited::kEnough;
    if (!controller_runs(paths)) return Waited::kDead;
    if (Time::now() >= deadline) return Waited::kLate;
    if (wait_for_change(inotify.get(), stop_fd, deadline)) return Waited::kStopped;
  }
}

}  // namespace weir::local
