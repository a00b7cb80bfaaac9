#include "local/prober.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sys/netns.h"

namespace weir::local {
namespace {

constexpr std::chrono::milliseconds kEager(250);
constexpr std::size_t kStatusLine = 12;  // "HTTP/1.1 200"

// A socket belongs to the namespace where it was made, whatever becomes of the thread.
Fd make_socket(int netns, const Address& target) {
  const auto home = Netns::current();
  if (!home || setns(netns, CLONE_NEWNET) != 0) return Fd();
  Fd fd(socket(target.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (setns(home->fd(), CLONE_NEWNET) != 0) std::abort();
  return fd;
}

bool begin_connect(int fd, const Address& target, std::uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(port);
  std::memcpy(target.is_v4() ? static_cast<void*>(&v4.sin_addr) : &v6.sin6_addr,
              target.wire().data(), target.wire().size());
  const auto* address = target.is_v4() ? reinterpret_cast<const sockaddr*>(&v4)
                                       : reinterpret_cast<const sockaddr*>(&v6);
  const socklen_t length = target.is_v4() ? sizeof v4 : sizeof v6;
  return connect(fd, address, length) == 0 || errno == EINPROGRESS;
}

bool is_connected(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

}  // namespace

bool is_good_answer(std::string_view text) {
  return text.size() >= kStatusLine && text.starts_with("HTTP/1.") && text[8] == ' ' &&
         (text[9] == '2' || text[9] == '3');
}

std::string probe_request(const Probe& probe, const Address& address) {
  const auto host =
      address.is_v4() ? address.to_string() : fmt::format("[{}]", address.to_string());
  const bool has_host = probe.headers.contains("Host");
  std::string text = fmt::format("GET {} HTTP/1.1\r\n", probe.path);
  if (!has_host) text += fmt::format("Host: {}:{}\r\n", host, probe.port);
  for (const auto& [name, value] : probe.headers) text += fmt::format("{}: {}\r\n", name, value);
  return text + "User-Agent: weir-probe\r\nConnection: close\r\n\r\n";
}

Prober::Prober(Loop& loop, const Probe& probe, const Address& target, int node_netns,
               ExecInPod exec, std::function<void()> changed)
    : loop_(loop),
      probe_(probe),
      target_(target),
      node_netns_(node_netns),
      exec_(std::move(exec)),
      changed_(std::move(changed)),
      readiness_(probe.success_threshold, probe.failure_threshold) {
  if (const auto host = Address::parse(probe.host)) target_ = *host;
  schedule(std::chrono::seconds(probe.initial_delay_seconds));
}

Prober::~Prober() {
  hang_up();
  loop_.remove(timer_);
}

void Prober::schedule(Clock::duration delay) {
  loop_.remove(timer_);
  timer_ = loop_.after(delay, [this] { begin(); });
}

void Prober::begin() {
  begun_ = Clock::now();
  if (probe_.type == Probe::Type::kExec) return begin_exec();
  received_.clear();
  socket_ = make_socket(node_netns_, target_);
  if (!socket_ || !begin_connect(socket_.get(), target_, probe_.port)) return answer(false);
  watch_ = loop_.watch(socket_.get(), POLLOUT, [this] { writable(); });
  timer_ = loop_.after(std::chrono::seconds(probe_.timeout_seconds), [this] { answer(false); });
}

void Prober::begin_exec() {
  auto job = exec_(probe_.command, std::chrono::seconds(probe_.timeout_seconds),
                   [this](const JobResult& result) {
                     const auto ended = std::move(job_);
                     answer(result.code == 0);
                   });
  if (!job) return answer(false);
  job_ = std::move(*job);
}

void Prober::writable() {
  if (!is_connected(socket_.get())) return answer(false);
  if (probe_.type == Probe::Type::kTcpSocket) return answer(true);
  const auto request = probe_request(probe_, target_);
  if (send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return answer(false);
  }
  loop_.remove(watch_);
  watch_ = loop_.watch(socket_.get(), POLLIN, [this] { readable(); });
}

void Prober::readable() {
  char buffer[512];
  const ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return answer(false);
  received_.append(buffer, static_cast<std::size_t>(n));
  if (received_.size() >= kStatusLine) answer(is_good_answer(received_));
}

void Prober::hang_up() {
  loop_.remove(watch_);
  watch_ = 0;
  socket_.reset();
}

void Prober::answer(bool good) {
  hang_up();
  const bool changed = readiness_.answer(good);
  was_ready_ = was_ready_ || ready();
  const Clock::duration period = std::chrono::seconds(probe_.period_seconds);
  schedule(was_ready_ ? std::max(begun_ + period - Clock::now(), Clock::duration(kEager))
                      : std::min<Clock::duration>(period, kEager));
  if (changed) changed_();
}

}  // namespace weir::local
