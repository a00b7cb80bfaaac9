#include "cni/agent_call.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <system_error>

#include "base/fd.h"

namespace weir::cni {
namespace {

constexpr int kPatienceSeconds = 110;  // kubelet gives up after 120

std::string system_fault(const std::string& what) {
  return what + ": " + std::generic_category().message(errno);
}

bool write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return shutdown(fd, SHUT_WR) == 0;
}

bool receive_all(int fd, std::string& into) {
  char chunk[16 * 1024];
  while (true) {
    const ssize_t n = recv(fd, chunk, sizeof chunk, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    into.append(chunk, static_cast<std::size_t>(n));
  }
}

std::string make_folder(const std::string& path) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const auto part = path.substr(0, end);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) return system_fault(part);
    if (end == std::string::npos) return {};
  }
}

}  // namespace

AgentReply call_agent(const std::string& run_dir, const std::string& request) {
  AgentReply reply;
  const std::string path = run_dir + "/cni.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    reply.fault = path + ": too long for a socket's path";
    return reply;
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Fd owner(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = owner.get();
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    reply.fault = system_fault(path);
    return reply;
  }
  reply.reached = true;
  if (!send_all(fd, request) || !receive_all(fd, reply.document)) reply.fault = system_fault(path);
  if (reply.document.empty() && reply.fault.empty()) reply.fault = path + ": closed without answer";
  return reply;
}

std::string spool_request(const std::string& state_dir, const std::string& request) {
  const std::string folder = state_dir + "/cni-spool";
  if (auto fault = make_folder(folder); !fault.empty()) return fault;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::string name = std::to_string(now.tv_sec) + "." + std::to_string(now.tv_nsec) + "." +
                           std::to_string(getpid()) + ".json";
  const std::string temporary = folder + "/." + name;
  const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return system_fault(temporary);
  if (write_all(file.get(), request) && fsync(file.get()) == 0 &&
      rename(temporary.c_str(), (folder + "/" + name).c_str()) == 0) {
    return {};
  }
  const auto fault = system_fault(temporary);
  unlink(temporary.c_str());
  return fault;
}

}  // namespace weir::cni
