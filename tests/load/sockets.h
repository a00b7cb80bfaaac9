#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "sys/netns.h"

namespace load {

using weir::Fd;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMillisecond = 1'000'000;

// Ends the program: a load that is not as it should be proves nothing.
[[noreturn]] void die(const std::string& what);

std::int64_t now_ns();

// An address and port, seen from a network namespace.
struct Place {
  std::string name;  // of what goes there
  weir::Netns netns;
  sockaddr_storage address{};
  socklen_t size = 0;

  static Place parse(std::string name, const std::string& netns, const std::string& address,
                     const std::string& port);
  const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// Sockets do not block. Those for datagrams have buffers for seconds: a busy machine loses none.
Fd tcp_listener(const Place& place);
Fd tcp_connecting(const Place& place);
Fd udp_bound(const Place& place);
Fd udp_connected(const Place& place);

// Datagrams that found no room in the socket's buffer.
std::uint32_t overflowed(int fd);

class Socket {
 public:
  virtual ~Socket() = default;
  // May end the socket itself.
  virtual void on_event() = 0;
};

// Tells sockets that they can be read, or written. One that is closed leaves by itself.
class Loop {
 public:
  Loop();
  void add(int fd, std::uint32_t events, Socket& socket);
  void change(int fd, std::uint32_t events, Socket& socket);
  // Waits for events for so long, at most.
  void run_once(int milliseconds);

 private:
  void control(int operation, int fd, std::uint32_t events, Socket& socket);

  Fd epoll_;
};

}  // namespace load
