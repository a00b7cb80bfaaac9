#include "cli/bridge.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/say.h"

namespace weir::cli {
namespace {

constexpr std::int64_t kFresh = 5;  // seconds for which a list of pods is good

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return errno_error(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), 16) != 0) {
    return errno_error(errno, path);
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<Bridge>> Bridge::open(const Kubectl& kubectl, const std::string& node) {
  WEIR_ASSIGN(auto pods, agent_pods(kubectl));
  if (!node.empty()) {
    std::erase_if(pods, [&node](const AgentPod& pod) { return pod.node != node; });
    if (pods.empty()) {
      return Error(Code::kNotFound, fmt::format("no agent's pod is on a node '{}'", node));
    }
  }
  std::unique_ptr<Bridge> bridge(new Bridge(kubectl));
  WEIR_TRY(bridge->listen(pods));
  bridge->thread_ = std::thread([raw = bridge.get()] { raw->serve(); });
  return bridge;
}

Result<void> Bridge::listen(const std::vector<AgentPod>& pods) {
  std::string form = std::filesystem::temp_directory_path() / "weir-XXXXXX";
  if (mkdtemp(form.data()) == nullptr) return errno_error(errno, form);
  folder_ = form;
  stop_ = Fd(eventfd(0, EFD_CLOEXEC));
  for (const AgentPod& pod : pods) {
    if (!pod.runs()) {
      say("node {}: the agent's pod {} is {}", pod.node, pod.pod, pod.state);
      continue;
    }
    const std::string path = fmt::format("{}/{}", folder_, ends_.size());
    WEIR_ASSIGN(Fd listener, listen_at(path));
    agents_.push_back({pod.node, path, nullptr});
    ends_.push_back({pod.node, std::move(listener)});
    pods_[pod.node] = pod.pod;
  }
  listed_ = now();
  if (!agents_.empty()) return {};
  return Error(
      Code::kUnavailable,
      fmt::format("no agent runs: 'kubectl --namespace {} describe pods' tells why", kNamespace));
}

Bridge::~Bridge() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t told = write(stop_.get(), &one, sizeof one);
    thread_.join();
  }
  for (const pid_t pid : started_) kill(pid, SIGTERM);
  for (const pid_t pid : started_) waitpid(pid, nullptr, 0);
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

void Bridge::serve() {
  std::vector<pollfd> wait;
  for (const End& end : ends_) wait.push_back({end.listener.get(), POLLIN, 0});
  wait.push_back({stop_.get(), POLLIN, 0});
  while (wait.back().revents == 0) {
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      if (wait[i].revents != 0) connect(ends_[i]);
    }
    std::erase_if(started_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) == pid; });
  }
}

void Bridge::connect(const End& end) {
  const Fd peer(accept4(end.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) return;
  const auto pid = kubectl_.start({"exec", "--namespace", kNamespace, "--stdin", "--container",
                                   "agent", pod_of(end.node), "--", "/usr/bin/weir", "relay"},
                                  peer.get(), peer.get(), STDERR_FILENO);
  if (pid) started_.push_back(*pid);
}

std::string Bridge::pod_of(const std::string& node) {
  if (now() - listed_ > kFresh) {
    if (const auto pods = agent_pods(kubectl_)) {
      for (const AgentPod& pod : *pods) pods_[pod.node] = pod.pod;
      listed_ = now();
    }
  }
  return pods_[node];
}

}  // namespace weir::cli
