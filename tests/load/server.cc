#include "server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace load {
namespace {

constexpr std::size_t kLargest = 2048;
constexpr std::size_t kBatch = 64;

}  // namespace

class Server::Datagrams : public Socket {
 public:
  Datagrams(Loop& loop, const Place& place) : fd_(udp_bound(place)), from_(kBatch) {
    loop.add(fd_.get(), EPOLLIN, *this);
  }
  int fd() const { return fd_.get(); }

  void on_event() override {
    std::array<iovec, kBatch> parts{};
    std::array<mmsghdr, kBatch> messages{};
    for (std::size_t i = 0; i < kBatch; i++) {
      parts[i] = {.iov_base = bytes_[i].data(), .iov_len = kLargest};
      messages[i].msg_hdr = {.msg_name = &from_[i],
                             .msg_namelen = sizeof from_[i],
                             .msg_iov = &parts[i],
                             .msg_iovlen = 1,
                             .msg_control = nullptr,
                             .msg_controllen = 0,
                             .msg_flags = 0};
    }
    const int got = recvmmsg(fd_.get(), messages.data(), kBatch, 0, nullptr);
    for (std::size_t i = 0; static_cast<int>(i) < got; i++) parts[i].iov_len = messages[i].msg_len;
    for (int sent = 0; sent < got;) {
      const int more = sendmmsg(fd_.get(), &messages[static_cast<std::size_t>(sent)],
                                static_cast<unsigned>(got - sent), 0);
      // An error of the socket is told once, and is another datagram's. One that is not sent is
      // missed by who has asked.
      if (more < 0 && errno == EAGAIN) break;
      if (more > 0) sent += more;
    }
  }

 private:
  Fd fd_;
  std::vector<sockaddr_storage> from_;
  std::array<std::array<char, kLargest>, kBatch> bytes_{};
};

class Server::Stream : public Socket {
 public:
  Stream(Loop& loop, Fd fd, Listener& listener) : fd_(std::move(fd)), listener_(listener) {
    loop.add(fd_.get(), EPOLLIN, *this);
  }
  void on_event() override;

  std::list<std::unique_ptr<Stream>>::iterator self;

 private:
  Fd fd_;
  Listener& listener_;
};

class Server::Listener : public Socket {
 public:
  Listener(Loop& loop, const Place& place) : loop_(loop), fd_(tcp_listener(place)) {
    loop.add(fd_.get(), EPOLLIN, *this);
  }

  void on_event() override {
    for (;;) {
      Fd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return;
      streams_.push_back(std::make_unique<Stream>(loop_, std::move(fd), *this));
      streams_.back()->self = std::prev(streams_.end());
    }
  }
  void end(Stream& stream) { streams_.erase(stream.self); }

 private:
  Loop& loop_;
  Fd fd_;
  std::list<std::unique_ptr<Stream>> streams_;
};

void Server::Stream::on_event() {
  std::array<char, kLargest> bytes{};
  const ssize_t got = read(fd_.get(), bytes.data(), bytes.size());
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0 && write(fd_.get(), bytes.data(), static_cast<std::size_t>(got)) == got) return;
  listener_.end(*this);
}

Server::Server(Loop& loop, const Place& place)
    : datagrams_(std::make_shared<Datagrams>(loop, place)),
      listener_(std::make_shared<Listener>(loop, place)) {}

std::uint32_t Server::overflowed() const { return load::overflowed(datagrams_->fd()); }

}  // namespace load
