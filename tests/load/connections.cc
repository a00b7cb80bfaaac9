#include "connections.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace load {
namespace {

constexpr std::int64_t kInterval = kSecond / 2;
constexpr std::int64_t kPatience = 10 * kSecond;
constexpr std::uint64_t kShortLife = 3;  // exchanges
constexpr std::size_t kTold = 8;

using Message = std::array<std::uint64_t, 4>;

}  // namespace

class Connections::Stream : public Socket {
 public:
  Stream(Loop& loop, const Place& place, std::uint64_t number, bool stays, std::int64_t now,
         Connections& all)
      : place_(place), stays_(stays), number_(number), asked_(now), all_(all) {
    fd_ = tcp_connecting(place);
    loop_ = &loop;
    loop.add(fd_.get(), EPOLLOUT, *this);
  }

  bool over() const { return !fd_; }
  bool stays() const { return stays_; }
  bool waits() const { return !over() && state_ != kIdle; }
  std::int64_t asked() const { return asked_; }

  void turn(std::int64_t now) {
    if (waits()) {
      if (now - asked_ > kPatience) fail("no answer");
    } else if (!over() && !all_.finishing_) {
      if (stays_ || said_ < kShortLife) {
        say(now);
      } else {
        end();
        all_.books_.ended++;
      }
    }
  }

  void on_event() override {
    if (state_ == kConnecting) {
      connected();
    } else {
      hear();
    }
  }

  // Segments, but for those that the other end had already.
  std::uint32_t sent_again() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) die("TCP_INFO");
    return info.tcpi_total_retrans - std::min(info.tcpi_total_retrans, info.tcpi_dsack_dups);
  }

  std::string description() const {
    return fmt::format("{}, {} from port {}, exchange {} of {:.1f} s", place_.name,
                       stays_ ? "one that stays" : "a new one", port(), said_,
                       static_cast<double>(asked_ - all_.begun_) / kSecond);
  }

 private:
  enum State { kConnecting, kIdle, kWaiting };

  void connected() {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) die("SO_ERROR");
    if (error != 0) return fail(std::string("connect: ") + std::strerror(error));
    loop_->change(fd_.get(), EPOLLIN, *this);
    say(now_ns());
  }

  void say(std::int64_t now) {
    asked_ = now;
    state_ = kWaiting;
    heard_ = 0;
    said_++;
    message_ = {number_, said_, ~number_, number_ ^ said_};
    const ssize_t sent = write(fd_.get(), &message_, sizeof message_);
    if (sent != sizeof message_) fail(sent < 0 ? std::strerror(errno) : "its queue is full");
  }

  void hear() {
    auto* const to = reinterpret_cast<char*>(&answer_);
    const ssize_t got = read(fd_.get(), to + heard_, sizeof answer_ - heard_);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return fail(got < 0 ? std::strerror(errno) : "ended by the other side");
    heard_ += static_cast<std::size_t>(got);
    if (heard_ < sizeof answer_) return;
    if (answer_ != message_ || state_ != kWaiting) return fail("another answer");
    state_ = kIdle;
    all_.books_.answers++;
    all_.books_.longest = std::max(all_.books_.longest, now_ns() - asked_);
  }

  void fail(const std::string& why) {
    all_.books_.failed++;
    all_.tell(description() + ": " + why);
    end();
  }

  std::uint16_t port() const {
    sockaddr_in6 own{};  // the port is where that of IPv4 is
    socklen_t size = sizeof own;
    if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) die("getsockname");
    return ntohs(own.sin6_port);
  }

  void end() {
    all_.books_.sent_again += sent_again();
    fd_.reset();
  }

  const Place& place_;
  bool stays_;
  std::uint64_t number_;
  std::int64_t asked_;
  Connections& all_;
  Loop* loop_ = nullptr;
  Fd fd_;
  State state_ = kConnecting;
  std::uint64_t said_ = 0;
  std::size_t heard_ = 0;
  Message message_{};
  Message answer_{};
};

Connections::Connections(Loop& loop, const std::vector<Place>& places, std::uint64_t stay,
                         std::int64_t rate)
    : loop_(loop), places_(places), stay_(stay), rate_(rate), begun_(now_ns()) {
  while (opened_ < stay_) open(true, begun_);
}

Connections::~Connections() = default;

void Connections::open(bool stays, std::int64_t now) {
  const Place& place = places_[opened_ % places_.size()];
  turns_.push_back(
      {now + kInterval, std::make_unique<Stream>(loop_, place, opened_, stays, now, *this)});
  opened_++;
}

void Connections::step(std::int64_t now) {
  const auto due = static_cast<std::uint64_t>((now - begun_) / 1000 * rate_ / 1'000'000);
  while (!finishing_ && opened_ < stay_ + due) open(false, now);
  while (!turns_.empty() && turns_.front().when <= now) {
    Turn turn = std::move(turns_.front());
    turns_.pop_front();
    turn.stream->turn(now);
    if (turn.stream->over()) continue;
    turn.when = now + kInterval;
    turns_.push_back(std::move(turn));
  }
}

void Connections::tell(const std::string& error) {
  if (books_.errors.size() < kTold) books_.errors.push_back('"' + error + '"');
}

bool Connections::quiet() const {
  return std::ranges::none_of(turns_, [](const Turn& turn) { return turn.stream->waits(); });
}

std::string Connections::report(std::int64_t now) const {
  std::size_t live = 0;
  std::size_t waiting = 0;
  std::uint64_t again = books_.sent_again;
  std::int64_t longest = books_.longest;
  std::vector<std::string> errors = books_.errors;
  for (const auto& [_, stream] : turns_) {
    if (stream->over()) continue;
    again += stream->sent_again();
    live += stream->stays();
    waiting += stream->waits();
    if (!stream->waits()) continue;
    longest = std::max(longest, now - stream->asked());
    if (now - stream->asked() > kSecond && errors.size() < kTold)
      errors.push_back(fmt::format(R"("{}: no answer yet")", stream->description()));
  }
  return fmt::format(
      R"("opened":{},"ended":{},"live":{},"answers":{},"waiting":{},"failed":{},"sent_again":{},)"
      R"("longest_answer_ms":{:.1f},"connection_errors":[{}])",
      opened_ - stay_, books_.ended, live, books_.answers, waiting, books_.failed, again,
      static_cast<double>(longest) / kMillisecond, fmt::join(errors, ","));
}

}  // namespace load
