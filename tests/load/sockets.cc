#include "sockets.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

namespace load {
namespace {

constexpr int kBuffer = 32 << 20;
constexpr int kBacklog = 4096;

Fd make(const Place& place, int kind) {
  const auto inside = weir::NetnsScope::enter(place.netns);
  if (!inside) die(inside.error().text());
  Fd fd(socket(place.address.ss_family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) die("socket");
  return fd;
}

void set(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) die("setsockopt");
}

Fd datagrams(const Place& place) {
  Fd fd = make(place, SOCK_DGRAM);
  set(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, kBuffer);
  set(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, kBuffer);
  return fd;
}

void bind_to(int fd, const Place& place) {
  if (bind(fd, place.raw(), place.size) != 0) die("bind " + place.name);
}

}  // namespace

void die(const std::string& what) {
  fmt::print(stderr, "net_load: {}: {}\n", what, std::strerror(errno));
  std::exit(2);
}

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * kSecond + time.tv_nsec;
}

Place Place::parse(std::string name, const std::string& netns, const std::string& address,
                   const std::string& port) {
  auto opened = weir::Netns::open(netns);
  if (!opened) die(opened.error().text());
  Place place{.name = std::move(name), .netns = std::move(*opened)};
  const auto number = htons(static_cast<std::uint16_t>(std::atoi(port.c_str())));
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = number, .sin_addr = {}, .sin_zero = {}};
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = number;
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    std::memcpy(&place.address, &v4, place.size = sizeof v4);
  } else if (inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    std::memcpy(&place.address, &v6, place.size = sizeof v6);
  } else {
    die("address " + address);
  }
  return place;
}

Fd tcp_listener(const Place& place) {
  Fd fd = make(place, SOCK_STREAM);
  set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  bind_to(fd.get(), place);
  if (listen(fd.get(), kBacklog) != 0) die("listen");
  return fd;
}

Fd tcp_connecting(const Place& place) {
  Fd fd = make(place, SOCK_STREAM);
  set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  // What it comes to is told by the first event.
  if (connect(fd.get(), place.raw(), place.size) != 0 && errno != EINPROGRESS)
    die("connect " + place.name);
  return fd;
}

Fd udp_bound(const Place& place) {
  Fd fd = datagrams(place);
  bind_to(fd.get(), place);
  return fd;
}

Fd udp_connected(const Place& place) {
  Fd fd = datagrams(place);
  if (connect(fd.get(), place.raw(), place.size) != 0) die("connect " + place.name);
  return fd;
}

std::uint32_t overflowed(int fd) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0) die("SO_MEMINFO");
  return info[SK_MEMINFO_DROPS];
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) die("epoll");
}

void Loop::control(int operation, int fd, std::uint32_t events, Socket& socket) {
  epoll_event event{.events = events, .data = {.ptr = &socket}};
  if (epoll_ctl(epoll_.get(), operation, fd, &event) != 0) die("epoll");
}

void Loop::add(int fd, std::uint32_t events, Socket& socket) {
  control(EPOLL_CTL_ADD, fd, events, socket);
}

void Loop::change(int fd, std::uint32_t events, Socket& socket) {
  control(EPOLL_CTL_MOD, fd, events, socket);
}

void Loop::run_once(int milliseconds) {
  std::array<epoll_event, 256> events{};
  const int got =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), milliseconds);
  if (got < 0 && errno != EINTR) die("epoll");
  for (int i = 0; i < got; i++)
    static_cast<Socket*>(events[static_cast<std::size_t>(i)].data.ptr)->on_event();
}

}  // namespace load
