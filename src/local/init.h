#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::local {

// What the first process of a pod is told, on stdin.
struct InitContainer {
  std::string name;
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=VALUE
  std::string log;               // file, appended to
};

// A file or folder of the host that a pod sees, read-only, below its /run.
struct InitMount {
  std::string source;
  std::string target;
};

enum class Restart { kAlways, kOnFailure, kNever };

struct InitSpec {
  std::string hostname;
  std::string hosts;  // files that become /etc/hosts and /etc/resolv.conf
  std::string resolv_conf;
  std::string programs;  // folder that becomes /run/weir/bin
  std::vector<InitMount> mounts;
  Restart restart = Restart::kAlways;
  std::vector<InitContainer> containers;
};

inline constexpr const char* kPodPrograms = "/run/weir/bin";

std::string to_json(const InitSpec& spec);
Result<InitSpec> parse_init_spec(std::string_view json);

// What it answers, one message each on descriptor 3.
struct InitReport {
  enum class Type { kStarted, kExited, kBroken };
  Type type = Type::kBroken;
  std::size_t container = 0;
  int code = 0;      // kExited: exit code, or 128 + signal
  std::string text;  // kBroken: why the pod cannot run
};
std::string to_text(const InitReport& report);
Result<InitReport> parse_report(std::string_view text);

// What the init is told meanwhile, on the same descriptor: to end one container for good.
std::string stop_command(std::size_t container);
Result<std::size_t> parse_stop(std::string_view text);

// Gives the calling process, alone in its namespaces, the file system of a pod.
Result<void> mount_pod(const InitSpec& spec);
// What container runtimes leave to a container by default; the rest cannot be had again.
Result<void> drop_capabilities();

// The process tree of one container: its main process, which gets SIGTERM when this does. When that
// has ended, what it started is killed. Exit code: the main process's, or 128 + its signal.
[[noreturn]] void supervise(const InitContainer& container, int log);

// The first process of a pod: mounts, starts the containers, starts them again, reaps. Ends on
// SIGTERM after passing it on, and when every container has ended for good: exit 0 if all were
// well.
int run_init();

}  // namespace weir::local
