// Entering a running pod.

#include "local/enter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sys/files.h"

namespace weir::local {
namespace {

constexpr std::size_t kMaxRecord = 16 << 20;

pid_t g_child = 0;  // for the signal handler

void pass_on(int signal) {
  if (g_child > 0) kill(-g_child, signal == kEndCommand ? SIGKILL : signal);
}

constexpr int kPassedOn[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, kEndCommand};

// What is ignored here (a shell's background job) stays so.
void handle(void (*handler)(int)) {
  for (const int signal : kPassedOn) {
    if (::signal(signal, handler) == SIG_IGN) ::signal(signal, SIG_IGN);
  }
}

// While it lives, signals that are to be passed on wait.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : kPassedOn) sigaddset(&held, signal);
    sigprocmask(SIG_BLOCK, &held, &before_);
  }
  ~HeldSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

 private:
  sigset_t before_{};
};

// What a command sends to its process group (kill 0) must not reach those who called weir. If they
// have the terminal, the command gets it, as from a shell.
void begin_group(bool has_terminal) {
  setpgid(0, 0);
  if (has_terminal) tcsetpgrp(STDIN_FILENO, getpid());
  ::signal(SIGTTOU, SIG_DFL);
  handle(SIG_DFL);
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> result;
  for (const auto& word : words) result.push_back(const_cast<char*>(word.c_str()));
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void fail(const Error& error) {
  fmt::print(stderr, "weir exec: {}\n", error.text());
  _exit(error.code() == Code::kNotFound ? 127 : 126);
}

[[noreturn]] void become(int pidfd, int cgroup, const InitContainer& container,
                         const std::vector<std::string>& argv, const Streams& streams) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(streams.out, STDOUT_FILENO);
  dup2(streams.err, STDERR_FILENO);
  if (cgroup >= 0 && write(cgroup, "0", 1) < 0) fail(errno_error(errno, "enter the pod's cgroup"));
  if (setns(pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) != 0) {
    fail(errno_error(errno, "enter the pod's namespaces"));
  }
  if (chdir("/") != 0) fail(errno_error(errno, "/"));
  if (auto dropped = drop_capabilities(); !dropped) fail(dropped.error());
  const auto env = pointers(container.env);
  const char* term = getenv("TERM");
  const std::string kept = term == nullptr ? "" : term;
  clearenv();
  for (char* const* variable = env.data(); *variable != nullptr; ++variable) putenv(*variable);
  if (!kept.empty()) setenv("TERM", kept.c_str(), 0);
  close_range(3, ~0U, 0);
  const auto words = pointers(argv);
  execvp(words[0], words.data());
  fail(errno_error(errno, argv[0]));
}

void hand_terminal(pid_t from, pid_t to) {
  if (tcgetpgrp(STDIN_FILENO) == from) tcsetpgrp(STDIN_FILENO, to);
}

// A command that is stopped (Ctrl-Z) stops this process too, and goes on with it.
int wait_child(pid_t pid) {
  int status = 0;
  while (true) {
    if (waitpid(pid, &status, WUNTRACED) < 0) {
      if (errno != EINTR) return 127;
    } else if (!WIFSTOPPED(status)) {
      break;
    } else {
      hand_terminal(pid, getpgrp());
      raise(SIGSTOP);
      hand_terminal(getpgrp(), pid);
      kill(-pid, SIGCONT);
    }
  }
  hand_terminal(pid, getpgrp());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The first pod of the Deployment.
Result<PodRecord> find_pod_of(const Paths& paths, const ObjectKey& deployment,
                              const std::vector<std::string>& names) {
  for (const auto& name : names) {
    const auto text = read_file(paths.pod_record({deployment.namespace_, name}), kMaxRecord);
    if (!text) continue;  // it has just gone
    WEIR_ASSIGN(auto record, parse_pod_record(*text));
    if (!record.workload.empty() && record.workload == deployment.name) return record;
  }
  return Error(Code::kNotFound, fmt::format("there is no pod {}", deployment.to_string()));
}

}  // namespace

Result<PodRecord> find_pod(const Paths& paths, const std::string& text) {
  const auto slash = text.find('/');
  const ObjectKey wish = slash == std::string::npos
                             ? ObjectKey{"default", text}
                             : ObjectKey{text.substr(0, slash), text.substr(slash + 1)};
  WEIR_ASSIGN(const auto names, list_dir(paths.pods() + "/" + wish.namespace_));
  if (std::ranges::find(names, wish.name) == names.end()) return find_pod_of(paths, wish, names);
  WEIR_ASSIGN(const auto record, read_file(paths.pod_record(wish), kMaxRecord));
  return parse_pod_record(record);
}

Result<const InitContainer*> find_container(const PodRecord& pod, const std::string& name) {
  for (const auto& container : pod.containers) {
    if (name.empty() || container.name == name) return &container;
  }
  if (pod.containers.empty()) {
    return Error(Code::kUnavailable,
                 fmt::format("pod {} has not started yet", pod.key.to_string()));
  }
  return Error(Code::kNotFound,
               fmt::format("pod {} has no container '{}'", pod.key.to_string(), name));
}

Result<int> run_in_pod(const PodRecord& pod, const InitContainer& container,
                       const std::vector<std::string>& argv, const Streams& streams) {
  const auto init = open_process(pod.init);
  if (!init) {
    return Error(Code::kUnavailable, fmt::format("pod {} is not running", pod.key.to_string()));
  }
  Fd cgroup;
  if (!pod.cgroup.empty()) {
    cgroup = Fd(open((pod.cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
  }
  // A process's own PID namespace never changes; its children are born in this one.
  if (setns(init->get(), CLONE_NEWPID) != 0) return errno_error(errno, "enter the pod");
  const bool has_terminal = tcgetpgrp(STDIN_FILENO) == getpgrp();
  ::signal(SIGTTOU, SIG_IGN);
  {
    const HeldSignals held;
    handle(pass_on);
    g_child = fork();
    if (g_child == 0) begin_group(has_terminal);
    if (g_child > 0) setpgid(g_child, g_child);  // there before a signal is passed on
  }
  if (g_child < 0) return errno_error(errno, "fork");
  if (g_child == 0) become(init->get(), cgroup.get(), container, argv, streams);
  return wait_child(g_child);
}

}  // namespace weir::local
