#include "cli/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/fd.h"

extern char** environ;

namespace weir::cli {
namespace {

struct Pipe {
  Fd read;
  Fd write;
  static Result<Pipe> open() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
    return Pipe{Fd(ends[0]), Fd(ends[1])};
  }
};

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Appends what is there; false at the end.
bool take(const Fd& from, std::string& to) {
  std::array<char, 65536> buffer{};
  const ssize_t got = read(from.get(), buffer.data(), buffer.size());
  if (got < 0) return errno == EINTR;
  to.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0;
}

// Feeds `in` and collects both outputs until they end.
void exchange(Fd feed, std::string_view in, const Fd& out, const Fd& err, ProgramOutput& result) {
  bool out_open = true;
  bool err_open = true;
  if (in.empty()) feed.reset();
  while (out_open || err_open) {
    std::array<pollfd, 3> wait = {{{out_open ? out.get() : -1, POLLIN, 0},
                                   {err_open ? err.get() : -1, POLLIN, 0},
                                   {feed ? feed.get() : -1, POLLOUT, 0}}};
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    if (wait[0].revents != 0) out_open = take(out, result.out);
    if (wait[1].revents != 0) err_open = take(err, result.err);
    if (wait[2].revents != 0) {
      const ssize_t put = write(feed.get(), in.data(), std::min<std::size_t>(in.size(), 4096));
      if (put > 0) in.remove_prefix(static_cast<std::size_t>(put));
      if (in.empty() || (put < 0 && errno != EINTR)) feed.reset();
    }
  }
}

}  // namespace

Result<pid_t> spawn(const std::vector<std::string>& words, int in, int out, int err) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files{};
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  if (err >= 0) posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
  if (err < 0) posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  // Signals that a verb blocks to read them are not the program's to block.
  posix_spawnattr_t how{};
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  sigset_t usual;
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setsigdefault(&how, &usual);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, words.front().c_str(), &files, &how, argv.data(), environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return errno_error(failed, words.front());
  return pid;
}

Result<ProgramOutput> run_program(const std::vector<std::string>& words, std::string_view in) {
  std::signal(SIGPIPE, SIG_IGN);  // of one that ends before it has read all
  WEIR_ASSIGN(Pipe feed, Pipe::open());
  WEIR_ASSIGN(Pipe out, Pipe::open());
  WEIR_ASSIGN(Pipe err, Pipe::open());
  WEIR_ASSIGN(const pid_t pid, spawn(words, feed.read.get(), out.write.get(), err.write.get()));
  feed.read.reset();
  out.write.reset();
  err.write.reset();
  ProgramOutput result;
  exchange(std::move(feed.write), in, out.read, err.read, result);
  result.status = wait_for(pid);
  return result;
}

}  // namespace weir::cli
