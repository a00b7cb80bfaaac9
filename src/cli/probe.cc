#include "cli/probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "cli/stop_signal.h"

namespace weir::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kNameSize = 64;  // the answer's head; a question is at least as long
constexpr std::size_t kLargest = 1 << 20;
constexpr std::array kWords = {"tcp", "udp", "name", "connect"};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SocketAddress> address_of(const std::string& text, std::uint16_t port) {
  SocketAddress out;
  auto* four = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    out.size = sizeof *four;
    return out;
  }
  if (inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    out.size = sizeof *six;
    return out;
  }
  return Error(Code::kInvalid, fmt::format("'{}' is no address", text));
}

Error fault(const std::string& what) { return {Code::kUnavailable, what}; }
Error fault_of(int error) {
  if (error == ECONNREFUSED) return fault("refused");
  if (error == ETIMEDOUT) return fault("no answer");
  return fault(errno_error(error, "socket").text());
}

int left(Clock::time_point until) {
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(rest.count(), 0));
}

// The socket can be read or written in time.
Result<void> await(const Fd& socket, short what, Clock::time_point until) {
  pollfd wait{socket.get(), what, 0};
  const int got = poll(&wait, 1, left(until));
  if (got == 0) return fault("no answer");
  if (got < 0 && errno != EINTR) return fault_of(errno);
  return {};
}

// Bytes that the network could only corrupt, lose or cut, not repeat unnoticed.
std::string question_of(std::uint32_t size) {
  std::string out(std::max<std::size_t>(size, kNameSize), '\0');
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<char>('a' + (i * 7 + i / 26) % 26);
  return out;
}

std::string answer_to(std::string question, const std::string& name) {
  question.replace(0, kNameSize, (name + std::string(kNameSize, '\0')).substr(0, kNameSize));
  return question;
}

Result<std::string> check(const std::string& question, const std::string& answer) {
  if (answer.size() != question.size()) {
    return fault(fmt::format("{} of {} bytes came back", answer.size(), question.size()));
  }
  if (answer.compare(kNameSize, std::string::npos, question, kNameSize, std::string::npos) != 0) {
    return fault("the answer has other bytes than the question");
  }
  return answer.substr(0, answer.find('\0'));
}

Result<Fd> connect_to(const Probe& probe, int type, Clock::time_point until) {
  WEIR_ASSIGN(const SocketAddress to, address_of(probe.target, probe.port));
  Fd fd(socket(to.get()->sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fault_of(errno);
  if (connect(fd.get(), to.get(), to.size) == 0) return fd;
  if (errno != EINPROGRESS) return fault_of(errno);
  WEIR_TRY(await(fd, POLLOUT, until));
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return fault_of(error);
  return fd;
}

Result<std::string> ask_tcp(const Probe& probe, Clock::time_point until) {
  WEIR_ASSIGN(const Fd fd, connect_to(probe, SOCK_STREAM, until));
  const std::string question = question_of(probe.size);
  std::string rest = question;
  while (!rest.empty()) {
    WEIR_TRY(await(fd, POLLOUT, until));
    const ssize_t put = send(fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN) return fault_of(errno);
    if (put > 0) rest.erase(0, static_cast<std::size_t>(put));
  }
  shutdown(fd.get(), SHUT_WR);
  std::string got;
  while (true) {
    WEIR_TRY(await(fd, POLLIN, until));
    std::array<char, 65536> buffer{};
    const ssize_t size = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno != EAGAIN) return fault_of(errno);
    if (size == 0) return check(question, got);
    if (size > 0) got.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

// A datagram that is lost is asked again: the network may lose some.
Result<std::string> ask_udp(const Probe& probe, Clock::time_point until) {
  WEIR_ASSIGN(const Fd fd, connect_to(probe, SOCK_DGRAM, until));
  const std::string question = question_of(probe.size);
  for (int tries = 3; tries > 0; --tries) {
    if (send(fd.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0) return fault_of(errno);
    const auto turn = Clock::now() + std::chrono::milliseconds(left(until) / tries);
    if (!await(fd, POLLIN, turn)) continue;
    std::array<char, 65536> buffer{};
    const ssize_t size = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return fault_of(errno);
    return check(question, std::string(buffer.data(), static_cast<std::size_t>(size)));
  }
  return fault("no answer");
}

Result<std::string> ask_name(const Probe& probe) {
  addrinfo hints{};
  hints.ai_family = probe.port == 6 ? AF_INET6 : AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(probe.target.c_str(), nullptr, &hints, &found);
  if (failed != 0) return fault(gai_strerror(failed));
  std::array<char, NI_MAXHOST> text{};
  getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(), nullptr, 0,
              NI_NUMERICHOST);
  freeaddrinfo(found);
  return std::string(text.data());
}

Result<Fd> listen_at(std::uint16_t port, int type) {
  Fd fd(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
  const int off = 0;
  const int on = 1;
  if (fd) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0 &&
        (type == SOCK_DGRAM || listen(fd.get(), 64) == 0)) {
      return fd;
    }
  }
  return errno_error(errno, fmt::format("port {}", port));
}

void serve_connection(const Fd& fd, const std::string& name) {
  const timeval patience{10, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string question;
  std::array<char, 65536> buffer{};
  ssize_t size = 0;
  while ((size = recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0) {
    question.append(buffer.data(), static_cast<std::size_t>(size));
    if (question.size() > kLargest) return;
  }
  if (size < 0 || question.size() < kNameSize) return;
  std::string rest = answer_to(std::move(question), name);
  while (!rest.empty() && (size = send(fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL)) > 0) {
    rest.erase(0, static_cast<std::size_t>(size));
  }
}

void serve_datagram(const Fd& fd, const std::string& name) {
  std::array<char, 65536> buffer{};
  SocketAddress from;
  from.size = sizeof from.storage;
  const ssize_t size =
      recvfrom(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT, from.get(), &from.size);
  if (size < static_cast<ssize_t>(kNameSize)) return;
  const std::string out =
      answer_to(std::string(buffer.data(), static_cast<std::size_t>(size)), name);
  sendto(fd.get(), out.data(), out.size(), MSG_NOSIGNAL, from.get(), from.size);
}

}  // namespace

Result<Probe> parse_probe(std::string_view line) {
  std::istringstream words{std::string(line)};
  std::string kind;
  Probe out;
  words >> kind >> out.target >> out.port >> out.size;
  const auto word = std::ranges::find(kWords, kind);
  if (!words || word == kWords.end() || out.size > kLargest) {
    return Error(Code::kInvalid, fmt::format("'{}' is no question", line));
  }
  out.kind = static_cast<Probe::Kind>(word - kWords.begin());
  return out;
}

std::string to_string(const Probe& probe) {
  return fmt::format("{} {} {} {}", kWords[static_cast<std::size_t>(probe.kind)], probe.target,
                     probe.port, probe.size);
}

Result<std::string> ask(const Probe& probe, std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  switch (probe.kind) {
    case Probe::Kind::kTcp:
      return ask_tcp(probe, until);
    case Probe::Kind::kUdp:
      return ask_udp(probe, until);
    case Probe::Kind::kName:
      return ask_name(probe);
    case Probe::Kind::kConnect: {
      WEIR_ASSIGN(const Fd fd, connect_to(probe, SOCK_STREAM, until));
      return std::string("connected");
    }
  }
  return fault("no such question");
}

Result<void> answer(std::uint16_t port, const std::string& name) {
  const Fd stop = stop_signal();
  WEIR_ASSIGN(const Fd tcp, listen_at(port, SOCK_STREAM));
  WEIR_ASSIGN(const Fd udp, listen_at(port, SOCK_DGRAM));
  std::array<pollfd, 3> wait = {
      {{stop.get(), POLLIN, 0}, {tcp.get(), POLLIN, 0}, {udp.get(), POLLIN, 0}}};
  while (wait[0].revents == 0) {
    if (poll(wait.data(), wait.size(), -1) < 0) continue;
    if (wait[2].revents != 0) serve_datagram(udp, name);
    if (wait[1].revents == 0) continue;
    Fd peer(accept4(tcp.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (peer)
      std::thread([peer = std::move(peer), name] { serve_connection(peer, name); }).detach();
  }
  return {};
}

}  // namespace weir::cli
