// exec_time INPUT PROGRAM [ARGUMENT...]: how long a program runs, its start included, with the file
// INPUT as its standard input. Prints one line of JSON: the time, and what the program printed
// (text).
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

namespace {

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string content(int fd) {
  std::string text(64 * 1024, '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out + '"';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: exec_time INPUT PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  const int in = open(argv[1], O_RDONLY | O_CLOEXEC);
  const int out = memfd_create("out", MFD_CLOEXEC);
  if (in < 0 || out < 0) {
    std::fprintf(stderr, "exec_time: %s: %s\n", argv[1], std::strerror(errno));
    return 1;
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);

  pid_t child = 0;
  int status = 0;
  const int64_t start = now_ns();
  const int error = posix_spawn(&child, argv[2], &files, nullptr, argv + 2, environ);
  if (error == 0) waitpid(child, &status, 0);
  const int64_t took = now_ns() - start;
  if (error) {
    std::fprintf(stderr, "exec_time: %s: %s\n", argv[2], std::strerror(error));
    return 1;
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::printf("{\"ns\":%lld,\"exit\":%d,\"output\":%s}\n", static_cast<long long>(took), code,
              quoted(content(out)).c_str());
  return 0;
}
