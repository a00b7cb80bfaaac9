// The first process of a pod: starts its containers, starts them again after they end, reaps
// orphans, passes SIGTERM on.

#include "local/init.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "base/fd.h"
#include "local/process.h"

namespace weir::local {
namespace {

using Time = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kReports = 3;
constexpr milliseconds kFirstBackoff(500);
constexpr milliseconds kLastBackoff(30'000);
constexpr milliseconds kWell(60'000);  // who ran so long begins with the first backoff again

struct Running {
  const InitContainer* spec = nullptr;
  Fd log;
  pid_t pid = 0;  // 0: does not run
  bool finished = false;
  bool stopping = false;  // is not to be started again
  bool failed = false;
  Time::time_point since;
  Time::time_point next;  // when it is to be started
  milliseconds backoff = kFirstBackoff;
};

void report(const InitReport& what) {
  const auto text = to_text(what);
  // Without a controller there is nobody to tell.
  send(kReports, text.data(), text.size(), MSG_NOSIGNAL);
}

// By a mount of its own: a mount where a file is open for writing cannot become read-only.
Result<Fd> open_log(const std::string& path) {
  const auto slash = path.rfind('/');
  const Fd folder(
      open_tree(AT_FDCWD, path.substr(0, slash).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!folder) return errno_error(errno, path);
  Fd log(openat(folder.get(), path.c_str() + slash + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                0600));
  if (!log) return errno_error(errno, path);
  return log;
}

class Init {
 public:
  explicit Init(const InitSpec& spec) : spec_(spec) {}

  Result<void> open();
  int run();

 private:
  void wait();
  void read_signals();
  void read_commands();
  void start_due();
  void reap();
  void ended(Running& container, std::size_t index, int status);
  static void stop(Running& container);
  bool done() const;
  int ms_to_next() const;

  const InitSpec& spec_;
  std::vector<Running> containers_;
  Fd signals_;
  bool controller_ = true;  // may send commands
};

Result<void> Init::open() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_ = Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return errno_error(errno, "signalfd");
  for (const auto& container : spec_.containers) {
    Running running;
    running.spec = &container;
    WEIR_ASSIGN(running.log, open_log(container.log));
    running.next = Time::now();
    containers_.push_back(std::move(running));
  }
  return {};
}

void Init::start_due() {
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    auto& c = containers_[i];
    if (c.pid != 0 || c.finished || c.stopping || c.next > Time::now()) continue;
    c.pid = fork();
    if (c.pid == 0) supervise(*c.spec, c.log.get());
    if (c.pid < 0) {
      c.pid = 0;
      c.next = Time::now() + kFirstBackoff;
      continue;
    }
    c.since = Time::now();
    report({InitReport::Type::kStarted, i, 0, ""});
  }
}

void Init::ended(Running& c, std::size_t index, int status) {
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  c.pid = 0;
  c.failed = code != 0;
  c.finished =
      spec_.restart == Restart::kNever || (spec_.restart == Restart::kOnFailure && !c.failed);
  if (Time::now() - c.since > kWell) c.backoff = kFirstBackoff;
  c.next = Time::now() + c.backoff;
  c.backoff = std::min(c.backoff * 2, kLastBackoff);
  report({InitReport::Type::kExited, index, code, ""});
}

void Init::reap() {
  int status = 0;
  while (true) {
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    for (std::size_t i = 0; i < containers_.size(); ++i) {
      if (containers_[i].pid == pid) ended(containers_[i], i, status);
    }
  }
}

void Init::stop(Running& container) {
  container.stopping = true;
  if (container.pid != 0) kill(container.pid, SIGTERM);
}

bool Init::done() const {
  return std::all_of(containers_.begin(), containers_.end(),
                     [](const Running& c) { return c.pid == 0 && (c.stopping || c.finished); });
}

// -1: nothing is to be started.
int Init::ms_to_next() const {
  std::optional<milliseconds> wait;
  for (const auto& c : containers_) {
    if (c.pid != 0 || c.finished || c.stopping) continue;
    const auto left = std::chrono::ceil<milliseconds>(c.next - Time::now());
    wait = std::max(milliseconds(0), wait ? std::min(*wait, left) : left);
  }
  return wait ? static_cast<int>(wait->count()) : -1;
}

void Init::read_signals() {
  signalfd_siginfo signal{};
  while (read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo == SIGCHLD) continue;
    for (auto& container : containers_) stop(container);
  }
  reap();
}

void Init::read_commands() {
  char text[64];
  while (true) {
    const ssize_t n = recv(kReports, text, sizeof text, MSG_DONTWAIT);
    if (n <= 0) return;
    const auto index = parse_stop({text, static_cast<std::size_t>(n)});
    if (index && *index < containers_.size()) stop(containers_[*index]);
  }
}

void Init::wait() {
  pollfd fds[] = {{signals_.get(), POLLIN, 0}, {controller_ ? kReports : -1, POLLIN, 0}};
  if (poll(fds, 2, ms_to_next()) <= 0) return;
  read_commands();
  // The controller has gone; who takes the pod down then sends a signal.
  if ((fds[1].revents & (POLLHUP | POLLERR)) != 0) controller_ = false;
  if (fds[0].revents != 0) read_signals();
}

int Init::run() {
  while (!done()) {
    start_due();
    wait();
  }
  return std::any_of(containers_.begin(), containers_.end(),
                     [](const Running& c) { return c.failed; });
}

Result<int> run_pod() {
  WEIR_ASSIGN(const auto text, read_text_file(STDIN_FILENO));
  WEIR_ASSIGN(const auto spec, parse_init_spec(text));
  prctl(PR_SET_NAME, "weir-pod");
  fcntl(kReports, F_SETFD, FD_CLOEXEC);
  if (sethostname(spec.hostname.c_str(), spec.hostname.size()) != 0) {
    return errno_error(errno, "hostname");
  }
  Init init(spec);
  WEIR_TRY(init.open());
  WEIR_TRY(mount_pod(spec));
  return init.run();
}

}  // namespace

int run_init() {
  const auto code = run_pod();
  if (code) return *code;
  report({InitReport::Type::kBroken, 0, 0, code.error().text()});
  return 125;
}

}  // namespace weir::local
