// The first process of a pod: starts its containers, starts them again after they end, reaps
// orphans, passes SIGTERM on.

#include "local/init.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
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

  Result<void> open_logs();
  int run();

 private:
  void start_due();
  void reap();
  void ended(Running& container, std::size_t index, int status);
  void stop();
  bool done() const;
  timespec until_next() const;

  const InitSpec& spec_;
  std::vector<Running> containers_;
  bool stopping_ = false;
};

Result<void> Init::open_logs() {
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
  for (std::size_t i = 0; i < containers_.size() && !stopping_; ++i) {
    auto& c = containers_[i];
    if (c.pid != 0 || c.finished || c.next > Time::now()) continue;
    c.pid = fork();
    if (c.pid == 0) become(*c.spec, c.log.get());
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

void Init::stop() {
  stopping_ = true;
  kill(-1, SIGTERM);
}

bool Init::done() const {
  return std::all_of(containers_.begin(), containers_.end(),
                     [this](const Running& c) { return c.pid == 0 && (stopping_ || c.finished); });
}

timespec Init::until_next() const {
  auto wait = std::chrono::nanoseconds(std::chrono::hours(1));
  for (const auto& c : containers_) {
    if (c.pid != 0 || c.finished || stopping_) continue;
    wait = std::clamp<std::chrono::nanoseconds>(c.next - Time::now(), milliseconds(0), wait);
  }
  return {wait.count() / 1'000'000'000, wait.count() % 1'000'000'000};
}

int Init::run() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  while (!done()) {
    start_due();
    const auto wait = until_next();
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGTERM || signal == SIGINT) stop();
    reap();
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
  WEIR_TRY(init.open_logs());
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
