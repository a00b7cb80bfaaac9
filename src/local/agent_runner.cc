#include "local/agent_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "sys/files.h"

namespace weir::local {
namespace {

constexpr std::chrono::milliseconds kAsk(30);
constexpr std::chrono::milliseconds kRestart(500);
constexpr std::chrono::milliseconds kHeld(200);

bool answers(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string last_line(const std::string& path) {
  auto text = read_file(path, 16 << 20).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

std::vector<std::string> agent_arguments(const Paths& paths, const Cluster& cluster,
                                         const std::string& node, const std::string& cgroup) {
  std::vector<std::string> arguments = {cluster.agent,
                                        "--node",
                                        node,
                                        "--run-dir",
                                        paths.node_run(node),
                                        "--state-dir",
                                        paths.node_state(node),
                                        "--bpffs",
                                        paths.node_bpffs(node),
                                        "--objects",
                                        paths.objects(),
                                        "--device",
                                        "eth0"};
  for (const auto& range : service_cidrs(cluster)) {
    arguments.emplace_back("--service-cidr");
    arguments.push_back(range.to_string());
  }
  if (!cluster.tunnel) {
    arguments.emplace_back("--tunnel");
    arguments.emplace_back("false");
  }
  // Sockets of this node's own processes and pods, never the machine's.
  if (cgroup.empty()) {
    arguments.insert(arguments.end(), {"--socket-services", "false"});
  } else {
    arguments.insert(arguments.end(), {"--cgroup", cgroup});
  }
  return arguments;
}

AgentRunner::AgentRunner(Loop& loop, const Paths& paths, const Cluster& cluster,
                         const NodeHandle& node, std::function<void()> changed)
    : loop_(loop), paths_(paths), cluster_(cluster), node_(node), changed_(std::move(changed)) {}

AgentRunner::~AgentRunner() {
  loop_.remove(watch_);
  loop_.remove(timer_);
}

void AgentRunner::later(Clock::duration delay, void (AgentRunner::*what)()) {
  loop_.remove(timer_);
  timer_ = loop_.after(delay, [this, what] { (this->*what)(); });
}

void AgentRunner::begin() {
  if (access(paths_.agent_hold(node()).c_str(), F_OK) == 0) {
    problem_ = "held back";
    return later(kHeld, &AgentRunner::begin);
  }
  if (auto started = start_agent(); !started) {
    problem_ = started.error().text();
    changed_();
    return later(kRestart, &AgentRunner::begin);
  }
  later(kAsk, &AgentRunner::ask_socket);
}

Result<void> AgentRunner::start_agent() {
  const Fd log(
      open(paths_.agent_log(node()).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return errno_error(errno, paths_.agent_log(node()));
  Launch launch;
  launch.argv = agent_arguments(paths_, cluster_, node(), node_.cgroup);
  launch.netns = node_.netns.fd();
  launch.out = log.get();
  launch.err = log.get();
  launch.cgroup = node_.cgroup;
  launch.session = true;
  WEIR_ASSIGN(auto started, start(launch));
  process_ = started.process;
  pidfd_ = std::move(started.pidfd);
  watch_ = loop_.watch(pidfd_.get(), POLLIN, [this] { ended(); });
  return write_file_atomic(paths_.agent_record(node()), to_json(process_));
}

void AgentRunner::ask_socket() {
  if (!answers(paths_.agent_socket(node()))) return later(kAsk, &AgentRunner::ask_socket);
  ready_ = true;
  problem_.clear();
  changed_();
}

void AgentRunner::ended() {
  const int code = wait_for(pidfd_.get());
  loop_.remove(watch_);
  pidfd_.reset();
  process_ = {};
  ready_ = false;
  ++restarts_;
  problem_ = fmt::format("weir-agent ended with {}: {}", code, last_line(paths_.agent_log(node())));
  changed_();
  later(kRestart, &AgentRunner::begin);
}

}  // namespace weir::local
