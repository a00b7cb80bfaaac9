// kill_at FD N connection PID          from the next connection on that the process takes
// kill_at FD N input PROGRAM WORD...   from the program's first look at its input on
// kill_at FD N TEXT PROGRAM WORD...    from when it opens a path that ends in TEXT
//
// Kills a process by SIGKILL when its N-th system call, counted over all of its threads, has
// returned: N = 1, 2, 3, ... are all the points between two of its calls. PROGRAM takes the place
// of kill_at: its process is the caller's child. Writes to FD: "ready" when the process is watched,
// and in the end "killed N CALL", where CALL is the number of its last one, or "rest N": it made no
// more than N calls, and waits for others or has ended.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;
constexpr timespec kRest = {0, 60'000'000};  // so long without a call is at rest
constexpr timespec kPatience = {20, 0};      // for the beginning

// A thread in one of these waits for others.
constexpr auto kIdleCalls =
    std::to_array<std::uint64_t>({SYS_epoll_wait, SYS_epoll_pwait, SYS_futex, SYS_poll, SYS_ppoll,
                                  SYS_clock_nanosleep, SYS_restart_syscall, SYS_rt_sigtimedwait});

struct Thread {
  bool caught = false;
  bool idle = true;
  std::uint64_t call = 0;
  std::array<std::uint64_t, 2> arguments = {};
};

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "kill_at: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

class Watch {
 public:
  Watch(pid_t process, int report, long point, std::string begin)
      : process_(process), report_(report), point_(point), begin_(std::move(begin)) {
    const sigset_t signals = child_signal();
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    for (const auto& task :
         std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process_)))
      seize(static_cast<pid_t>(std::stol(task.path().filename())));
    const auto is_caught = [](const auto& one) { return one.second.caught; };
    while (!std::ranges::all_of(threads_, is_caught)) take_stop(kPatience);
    tell("ready\n");
  }

  void follow() {
    while (!over_) {
      if (take_stop(begun_ ? kRest : kPatience)) continue;
      if (!begun_) die("it did not begin");
      if (at_rest()) break;
    }
    if (!killed_) tell(fmt::format("rest {}\n", count_));
  }

 private:
  static sigset_t child_signal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    return signals;
  }

  void tell(const std::string& text) const {
    if (write(report_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      die("report");
  }

  void seize(pid_t thread) {
    constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SEIZE, thread, 0, kOptions) != 0) die(fmt::format("seize {}", thread));
    if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) != 0) die(fmt::format("interrupt {}", thread));
    threads_[thread];
  }

  bool at_rest() const {
    return std::ranges::all_of(threads_, [](const auto& one) { return one.second.idle; });
  }

  // The next change of a thread. False: none came in time.
  bool take_stop(const timespec& patience) {
    int status = 0;
    const pid_t thread = waitpid(-1, &status, __WALL | WNOHANG);
    if (thread == 0) {
      const sigset_t signals = child_signal();
      return sigtimedwait(&signals, nullptr, &patience) > 0 || errno == EINTR;
    }
    if (thread < 0) die("wait");
    if (WIFSTOPPED(status)) {
      on_stop(thread, WSTOPSIG(status), status >> 16);
    } else {
      threads_.erase(thread);
      over_ = over_ || thread == process_;
    }
    return true;
  }

  void on_stop(pid_t thread, int signal, int event) {
    threads_[thread].caught = true;
    if (signal == kSyscallStop) on_call(thread);
    const bool is_signal = signal != kSyscallStop && event == 0;
    ptrace(PTRACE_SYSCALL, thread, 0, is_signal ? signal : 0);
  }

  void on_call(pid_t id) {
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, id, sizeof info, &info) <= 0) return;
    Thread& thread = threads_[id];
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      thread.call = info.entry.nr;
      thread.arguments = {info.entry.args[0], info.entry.args[1]};
      thread.idle = std::ranges::find(kIdleCalls, info.entry.nr) != kIdleCalls.end();
      return;
    }
    thread.idle = false;
    if (info.op != PTRACE_SYSCALL_INFO_EXIT) return;
    begun_ = begun_ || begins(id, thread, info.exit.is_error != 0);
    if (!begun_ || ++count_ != point_) return;
    kill(process_, SIGKILL);
    killed_ = true;
    tell(fmt::format("killed {} {}\n", count_, thread.call));
  }

  bool begins(pid_t id, const Thread& thread, bool failed) const {
    if (begin_ == "connection")
      return !failed && (thread.call == SYS_accept || thread.call == SYS_accept4);
    if (begin_ == "input") return thread.call == SYS_read && thread.arguments[0] == STDIN_FILENO;
    return thread.call == SYS_openat && text_at(id, thread.arguments[1]).ends_with(begin_);
  }

  static std::string text_at(pid_t thread, std::uint64_t address) {
    std::array<char, 256> text{};
    const iovec here{text.data(), text.size() - 1};
    const iovec there{reinterpret_cast<void*>(address), text.size() - 1};
    const ssize_t read = process_vm_readv(thread, &here, 1, &there, 1, 0);
    return read > 0 ? std::string(text.data()) : std::string();
  }

  pid_t process_;
  int report_;
  long point_;
  std::string begin_;
  std::map<pid_t, Thread> threads_;
  long count_ = 0;
  bool begun_ = false;
  bool killed_ = false;
  bool over_ = false;
};

// The program waits until its watch, no child of it, says so.
void run(int report, long point, const std::string& begin, char** words) {
  std::array<int, 2> gate{};
  if (pipe2(gate.data(), O_CLOEXEC) != 0) die("pipe");
  fcntl(report, F_SETFD, FD_CLOEXEC);
  const pid_t program = getpid();
  const pid_t child = fork();
  if (child == 0) {
    if (fork() != 0) _exit(0);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, gate[0]}) close(fd);
    Watch watch(program, report, point, begin);
    if (write(gate[1], "g", 1) != 1) die("gate");
    watch.follow();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  close(gate[1]);
  char go = 0;
  if (read(gate[0], &go, 1) == 1) execvp(words[0], words);
  die(words[0]);
}

}  // namespace

int main(int argc, char** argv) {
  const long point = argc < 5 ? 0 : std::atol(argv[2]);
  if (point < 1) {
    fmt::print(stderr,
               "usage: kill_at FD N connection PID | kill_at FD N input|TEXT PROGRAM WORD...\n");
    return 2;
  }
  const int report = std::atoi(argv[1]);
  const std::string begin = argv[3];
  if (begin != "connection") {
    run(report, point, begin, argv + 4);
  } else {
    Watch(std::atoi(argv[4]), report, point, begin).follow();
  }
  return 0;
}
