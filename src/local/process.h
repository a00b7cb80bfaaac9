#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace weir::local {

// A process told from a later one with its pid.
struct Process {
  pid_t pid = 0;
  std::uint64_t start = 0;  // field 22 of /proc/PID/stat, in ticks since boot

  friend bool operator==(const Process&, const Process&) = default;
};

// From the text of /proc/PID/stat; the name in it may have blanks and brackets.
Result<std::uint64_t> parse_start(std::string_view stat);
// kNotFound when there is no such process, or only its corpse.
Result<Process> identify(pid_t pid);
// A pidfd of it; kNotFound when it has gone or the pid is another's.
Result<Fd> open_process(const Process& process);
bool is_alive(const Process& process);
// Gone or of another process is success.
Result<void> signal_process(const Process& process, int signal);
// SIGTERM, and SIGKILL to those that live after `grace`. Returns when all are gone.
Result<void> end_processes(const std::vector<Process>& processes, std::chrono::milliseconds grace);

std::string to_json(const Process& process);
Result<Process> parse_process(std::string_view json);

// How to start a program.
struct Launch {
  std::vector<std::string> argv;
  std::string program;           // path; empty: argv[0]
  std::vector<std::string> env;  // empty: this process's own
  int netns = -1;                // namespace to enter before
  int in = -1;                   // descriptors for stdin, stdout and stderr; -1: /dev/null
  int out = -1;
  int err = -1;
  int keep = -1;       // becomes descriptor 3
  std::string cgroup;  // folder; empty: stays
  bool session = false;
  unsigned long namespaces = 0;  // CLONE_NEW*
  int end_signal = SIGKILL;      // ends it at once, with all that it started
};

struct Started {
  Process process;
  Fd pidfd;
};

// REQUIRES: one thread. All other descriptors are closed in the new process.
Result<Started> start(const Launch& launch);
// Exit code, or 128 + signal. Waits for the end.
int wait_for(int pidfd);

// An unnamed file with this content, at its beginning.
Result<Fd> text_file(std::string_view content);
Result<std::string> read_text_file(int fd);

}  // namespace weir::local
