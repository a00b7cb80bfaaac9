// Starting programs: clone3 into cgroup and namespaces, descriptors in order, exec.

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "local/process.h"

namespace weir::local {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const auto& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

// Moves the descriptors to 0..3 and closes the others but `report`, which becomes 4.
bool arrange(const Launch& launch, int null, int report) {
  int wanted[5] = {launch.in, launch.out, launch.err, launch.keep, report};
  for (int& fd : wanted) {
    fd = fcntl(fd < 0 ? null : fd, F_DUPFD, 16);  // out of the way of 0..4
    if (fd < 0) return false;
  }
  for (int i = 0; i < 5; ++i) {
    if (dup2(wanted[i], i) < 0) return false;
  }
  if (launch.keep < 0) syscall(SYS_close_range, 3, 3, 0);
  return fcntl(4, F_SETFD, FD_CLOEXEC) == 0 && syscall(SYS_close_range, 5, ~0U, 0) == 0;
}

void reset_signals() {
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// In the new process. Comes back only on failure, with errno set.
void run_child(const Launch& launch, char* const* argv, char* const* env, int null, int report) {
  reset_signals();
  if (launch.session) setsid();
  if (launch.netns >= 0 && setns(launch.netns, CLONE_NEWNET) != 0) return;
  if (!arrange(launch, null, report)) return;
  execve(launch.program.empty() ? argv[0] : launch.program.c_str(), argv, env);
}

Result<Fd> open_cgroup(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error(errno, fmt::format("cgroup {}", path));
  return fd;
}

// The errno of a failed exec comes through the pipe; its end without one is success.
int read_report(int fd) {
  int error = 0;
  ssize_t n = 0;
  do n = read(fd, &error, sizeof error);
  while (n < 0 && errno == EINTR);
  return n == sizeof error ? error : 0;
}

}  // namespace

Result<Started> start(const Launch& launch) {
  const auto argv = pointers(launch.argv);
  const auto own_env = pointers(launch.env);
  char* const* env = launch.env.empty() ? environ : own_env.data();
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  int ends[2];
  if (!null || pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "start a program");
  const Fd report(ends[0]);
  Fd write_end(ends[1]);

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | launch.namespaces;
  args.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  Fd cgroup;
  if (!launch.cgroup.empty()) {
    WEIR_ASSIGN(cgroup, open_cgroup(launch.cgroup));
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(cgroup.get());
  }
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid < 0) return errno_error(errno, fmt::format("start {}", launch.argv[0]));
  if (pid == 0) {
    run_child(launch, argv.data(), env, null.get(), write_end.get());
    const int error = errno;
    if (write(fcntl(4, F_GETFD) >= 0 ? 4 : write_end.get(), &error, sizeof error) < 0) _exit(126);
    _exit(127);
  }
  Started started{{pid, 0}, Fd(pidfd)};
  write_end.reset();
  if (const int error = read_report(report.get()); error != 0) {
    wait_for(started.pidfd.get());
    return errno_error(error, fmt::format("start {}", launch.argv[0]));
  }
  // A program that has ended already has no start time; nobody needs it then.
  if (const auto process = identify(pid)) started.process = *process;
  return started;
}

int wait_for(int pidfd) {
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED) != 0) {
    if (errno != EINTR) return 127;
  }
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace weir::local
