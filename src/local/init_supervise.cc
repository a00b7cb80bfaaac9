// One container's processes, below the pod's init.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "local/init.h"
#include "sys/files.h"

namespace weir::local {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const auto& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void become(const InitContainer& spec, int log) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  const int null = open("/dev/null", O_RDONLY);
  if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0) _exit(126);
  close_range(3, ~0U, 0);
  if (auto dropped = drop_capabilities(); !dropped) {
    dprintf(2, "weir: %s\n", dropped.error().text().c_str());
    _exit(126);
  }
  const auto argv = pointers(spec.argv);
  const auto env = pointers(spec.env);
  clearenv();
  for (char* const* variable = env.data(); *variable != nullptr; ++variable) putenv(*variable);
  execvp(argv[0], argv.data());
  const auto failure = errno_error(errno, argv[0]);
  dprintf(2, "weir: cannot start %s\n", failure.text().c_str());
  _exit(failure.code() == Code::kNotFound ? 127 : 126);
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// Orphans of the main process are this process's children, as is the main process itself.
void kill_children() {
  std::istringstream pids(read_file("/proc/thread-self/children", 1 << 20).value_or(""));
  for (pid_t pid = 0; pids >> pid;) kill(pid, SIGKILL);
}

// Until the main process ends.
int wait_for_main(pid_t pid) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM}) sigaddset(&signals, signal);
  while (true) {
    int status = 0;
    for (pid_t ended = 0; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended == pid) return code_of(status);
    }
    if (sigwaitinfo(&signals, nullptr) == SIGTERM) kill(pid, SIGTERM);
  }
}

}  // namespace

void supervise(const InitContainer& container, int log) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t pid = fork();
  if (pid == 0) become(container, log);
  if (pid < 0) _exit(126);
  const int code = wait_for_main(pid);
  do kill_children();
  while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR);
  _exit(code);
}

}  // namespace weir::local
