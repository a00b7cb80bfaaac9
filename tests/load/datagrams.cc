#include "datagrams.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace load {
namespace {

constexpr std::size_t kFlowsPerPlace = 4;
constexpr std::size_t kBatch = 8;
constexpr std::uint64_t kAtOnce = 256;  // then answers are read
constexpr std::int64_t kLate = 2 * kSecond;
constexpr std::int64_t kTick = kSecond / 10;
constexpr std::size_t kTold = 5;

struct Datagram {
  std::uint64_t number;
  std::int64_t sent_ns;
  std::uint64_t filling[4];
};

}  // namespace

class Datagrams::Flow : public Socket {
 public:
  Flow(Loop& loop, const Place& place, std::int64_t begun)
      : name_(place.name), begun_(begun), fd_(udp_connected(place)) {
    loop.add(fd_.get(), EPOLLIN, *this);
  }

  std::size_t send(std::size_t count, std::int64_t now) {
    while (static_cast<std::int64_t>(sent_by_.size()) <= (now - begun_) / kTick)
      sent_by_.push_back(sent());
    std::array<Datagram, kBatch> datagrams{};
    std::array<iovec, kBatch> parts{};
    std::array<mmsghdr, kBatch> messages{};
    for (std::size_t i = 0; i < count; i++) {
      datagrams[i] = {.number = sent() + i, .sent_ns = now, .filling = {}};
      parts[i] = {.iov_base = &datagrams[i], .iov_len = sizeof datagrams[i]};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int done = sendmmsg(fd_.get(), messages.data(), static_cast<unsigned>(count), 0);
    if (done < 0 && errno != EAGAIN) errors_.emplace_back(std::strerror(errno));
    came_.resize(sent() + static_cast<std::size_t>(std::max(done, 0)));
    return static_cast<std::size_t>(std::max(done, 0));
  }

  void on_event() override {
    std::array<Datagram, 4 * kBatch> datagrams{};
    std::array<iovec, 4 * kBatch> parts{};
    std::array<mmsghdr, 4 * kBatch> messages{};
    for (std::size_t i = 0; i < parts.size(); i++) {
      parts[i] = {.iov_base = &datagrams[i], .iov_len = sizeof datagrams[i]};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = recvmmsg(fd_.get(), messages.data(), parts.size(), 0, nullptr);
    if (got < 0 && errno != EAGAIN) errors_.emplace_back(std::strerror(errno));
    const std::int64_t now = now_ns();
    for (std::size_t i = 0; static_cast<int>(i) < got; i++) take(datagrams[i], messages[i], now);
  }

  // When datagrams were sent that should be back by now, in ticks.
  std::vector<std::int64_t> lost(std::int64_t now) const {
    std::vector<std::int64_t> found;
    const auto ticks =
        static_cast<std::size_t>(std::max<std::int64_t>(0, now - kLate - begun_) / kTick);
    const std::uint64_t end = ticks < sent_by_.size() ? sent_by_[ticks] : sent();
    for (std::uint64_t i = 0; i < end && found.size() < sent() - got_; i++) {
      if (came_[i]) continue;
      const auto after = std::ranges::upper_bound(sent_by_, i);
      found.push_back(after - sent_by_.begin() - 1);
    }
    return found;
  }

  const std::string& name() const { return name_; }
  std::uint64_t sent() const { return came_.size(); }
  std::uint64_t got() const { return got_; }
  std::int64_t longest() const { return longest_; }
  const std::vector<std::string>& errors() const { return errors_; }
  std::uint32_t overflowed() const { return load::overflowed(fd_.get()); }

 private:
  void take(const Datagram& datagram, const mmsghdr& message, std::int64_t now) {
    if (message.msg_len != sizeof datagram || datagram.number >= sent()) {
      errors_.emplace_back("a datagram that nobody sent");
    } else if (came_[datagram.number]) {
      errors_.emplace_back("a datagram came twice");
    } else {
      came_[datagram.number] = true;
      got_++;
      longest_ = std::max(longest_, now - datagram.sent_ns);
    }
  }

  std::string name_;
  std::int64_t begun_;
  Fd fd_;
  std::vector<bool> came_;
  std::vector<std::uint64_t> sent_by_;  // each tick
  std::uint64_t got_ = 0;
  std::int64_t longest_ = 0;
  std::vector<std::string> errors_;
};

Datagrams::Datagrams(Loop& loop, const std::vector<Place>& places, std::int64_t rate)
    : rate_(rate), begun_(now_ns()) {
  for (std::size_t i = 0; i < kFlowsPerPlace; i++)
    for (const Place& place : places) flows_.push_back(std::make_unique<Flow>(loop, place, begun_));
}

Datagrams::~Datagrams() = default;

void Datagrams::send(std::int64_t now) {
  const auto due = static_cast<std::uint64_t>((now - begun_) / 1000 * rate_ / 1'000'000);
  const std::uint64_t end = std::min(due, sent_ + kAtOnce);
  while (sent_ < end) {
    const std::size_t count = std::min<std::uint64_t>(kBatch, end - sent_);
    const std::size_t done = flows_[next_]->send(count, now);
    next_ = (next_ + 1) % flows_.size();
    sent_ += done;
    if (done < count) return;
  }
}

std::uint64_t Datagrams::came() const {
  std::uint64_t sum = 0;
  for (const auto& flow : flows_) sum += flow->got();
  return sum;
}

std::string Datagrams::report(std::int64_t now) const {
  std::uint64_t got = 0;
  std::uint64_t overflow = 0;
  std::uint64_t missing = 0;
  std::int64_t longest = 0;
  std::vector<std::string> errors;
  for (const auto& flow : flows_) {
    got += flow->got();
    overflow += flow->overflowed();
    longest = std::max(longest, flow->longest());
    for (const auto& error : flow->errors())
      errors.push_back(fmt::format("\"{}: {}\"", flow->name(), error));
    const auto lost = flow->lost(now);
    missing += lost.size();
    for (const std::int64_t tick : lost)
      errors.push_back(fmt::format("\"{}: sent at {:.1f} s, lost\"", flow->name(),
                                   static_cast<double>(tick * kTick) / kSecond));
  }
  errors.resize(std::min(errors.size(), kTold));
  return fmt::format(
      R"("sent":{},"echoed":{},"lost":{},"overflowed":{},"longest_ms":{:.1f},"datagram_errors":[{}])",
      sent_, got, missing, overflow, static_cast<double>(longest) / kMillisecond,
      fmt::join(errors, ","));
}

}  // namespace load
