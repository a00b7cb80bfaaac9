#include "sys/netns.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "sys/files.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace weir {

Result<Netns> Netns::from_fd(Fd fd, const std::string& path) {
  if (ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return Error(Code::kInvalid, fmt::format("{} is not a network namespace", path));
  }
  struct stat st{};
  if (fstat(fd.get(), &st) != 0) return errno_error(errno, path);
  return Netns(std::move(fd), st.st_dev, st.st_ino);
}

Result<Netns> Netns::open(const std::string& path) {
  // O_NONBLOCK: the path may name a FIFO.
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errno_error(errno, path);
  return from_fd(std::move(fd), path);
}

Result<Netns> Netns::current() { return open("/proc/thread-self/ns/net"); }

Result<std::uint64_t> Netns::cookie() const {
  WEIR_ASSIGN(const auto scope, NetnsScope::enter(*this));
  return current_netns_cookie();
}

Result<NetnsScope> NetnsScope::enter(const Netns& netns) {
  Fd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return errno_error(errno, "own network namespace");
  if (setns(netns.fd(), CLONE_NEWNET) != 0) return errno_error(errno, "enter network namespace");
  return NetnsScope(std::move(home));
}

NetnsScope::~NetnsScope() {
  if (!home_) return;
  // A thread that stays in the wrong namespace would configure the wrong links.
  if (setns(home_.get(), CLONE_NEWNET) != 0) {
    std::perror("leave network namespace");
    std::abort();
  }
}

Result<std::string> read_sysctl(std::string_view key) {
  WEIR_ASSIGN(auto value, read_file(fmt::format("/proc/sys/{}", key), 4096));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

// Container runtimes mount a container's /proc/sys read-only; a container that may write has the
// host's beside it.
Result<void> write_sysctl(std::string_view key, std::string_view value) {
  WEIR_ASSIGN(const auto now, read_sysctl(key));
  if (now == value) return {};
  if (value.empty()) value = "\n";  // an empty write changes nothing
  const auto written = write_existing_file(fmt::format("/proc/sys/{}", key), value);
  if (written || written.error().saved_errno() != EROFS) return written;
  const std::string beside = fmt::format("/host/proc/sys/{}", key);
  return access(beside.c_str(), F_OK) == 0 ? write_existing_file(beside, value) : written;
}

Result<std::uint64_t> current_netns_cookie() {
  const Fd sock(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!sock) return errno_error(errno, "socket");
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(sock.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) {
    return errno_error(errno, "SO_NETNS_COOKIE");
  }
  return cookie;
}

}  // namespace weir
