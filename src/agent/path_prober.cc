#include "agent/path_prober.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kEach = 5000ms;      // between two searches of one peer
constexpr auto kSpacing = 500ms;    // between two of any
constexpr auto kRoundTime = 300ms;  // longer than a way between nodes takes
constexpr std::uint32_t kLeastV4 = 576;
constexpr std::uint32_t kLeastV6 = 1280;

}  // namespace

void PathProber::set_peers(std::set<Address> peers, std::uint32_t most) {
  if (peers == peers_ && most == most_) return;
  const bool idle = peers_.empty();
  if (most != most_) search_.reset();
  peers_ = std::move(peers);
  most_ = most;
  const auto is_over = [this](const auto& way) {
    return !peers_.contains(way.first) || way.second.mtu >= most_;
  };
  std::erase_if(doubted_, [this](const auto& one) { return !peers_.contains(one.first); });
  if (std::erase_if(smaller_, is_over) != 0) on_change_();
  for (const Address& peer : peers_) (void)socket_for(peer.family());  // begin_round() tells
  if (idle && !peers_.empty()) ask_next();
}

void PathProber::ask_next() {
  search_.reset();
  if (peers_.empty()) return;
  const auto turns = static_cast<std::int64_t>(peers_.size());
  timer_.expires_after(std::max<Clock::duration>(kEach / turns, kSpacing));
  timer_.async_wait([this](const auto& error) {
    if (error) return;
    if (peers_.empty()) return;
    const auto after = peers_.upper_bound(peer_);
    peer_ = after == peers_.end() ? *peers_.begin() : *after;
    const std::uint32_t least = peer_.is_v4() ? kLeastV4 : kLeastV6;
    if (most_ <= least) return ask_next();
    search_.emplace(least, most_);
    reporter_ = {};
    sent_.clear();
    begin_round();
  });
}

void PathProber::begin_round() {
  const auto socket = socket_for(peer_.family());
  problem_ = socket ? "" : socket.error().text();
  if (!socket) return ask_next();
  for (const std::uint32_t size : search_->next()) {
    sent_[++sequence_] = size;
    // What cannot be sent is not answered, either.
    (void)(*socket)->echo.send(peer_, sequence_, size);
  }
  timer_.expires_after(kRoundTime);
  timer_.async_wait([this, round = ++round_](const auto& error) {
    if (!error && round == round_) end_round();
  });
}

void PathProber::end_round() {
  ++round_;
  if (!search_) return ask_next();
  search_->end_round();
  if (search_->state() == PathSearch::State::kAsking) return begin_round();
  finish();
}

void PathProber::finish() {
  const PathSearch::State state = search_->state();
  const auto before = smaller_;
  if (state == PathSearch::State::kWhole) {
    smaller_.erase(peer_);
    doubted_.erase(peer_);
  }
  if (state == PathSearch::State::kSmaller && peers_.contains(peer_)) learn(search_->size());
  ask_next();
  if (smaller_ != before) on_change_();
}

// Of a way that is known, a lost packet makes it look smaller still: two searches must say so.
void PathProber::learn(std::uint32_t mtu) {
  const auto known = smaller_.find(peer_);
  const bool is_known = known != smaller_.end();
  if (is_known && mtu == known->second.mtu) {
    doubted_.erase(peer_);
  } else if (is_known && mtu < known->second.mtu && std::exchange(doubted_[peer_], mtu) != mtu) {
    return;
  } else {
    smaller_[peer_] = {.mtu = mtu, .reporter = reporter_};
    doubted_.erase(peer_);
  }
}

Result<PathProber::Socket*> PathProber::socket_for(Family family) {
  auto& socket = sockets_[family];
  if (socket) return socket.get();
  WEIR_ASSIGN(auto echo, EchoSocket::open(family));
  const int fd = fcntl(echo.fd(), F_DUPFD_CLOEXEC, 0);  // Asio becomes the owner
  if (fd < 0) return errno_error(errno, "a socket for ICMP");
  socket = std::make_unique<Socket>(
      Socket{std::move(echo), boost::asio::posix::stream_descriptor(loop_, fd)});
  listen(*socket);
  return socket.get();
}

void PathProber::listen(Socket& socket) {
  socket.ready.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [this, &socket](const auto& error) {
                            if (error) return;
                            for (const auto& answer : socket.echo.receive()) take(answer);
                            listen(socket);
                          });
}

void PathProber::take(const EchoSocket::Answer& answer) {
  const auto sent = sent_.find(answer.sequence);
  if (!search_ || answer.peer != peer_ || sent == sent_.end()) return;
  if (answer.mtu == 0) {
    search_->came_through(sent->second);
  } else if (answer.mtu < sent->second) {
    if (search_->too_large(answer.mtu)) reporter_ = answer.reporter;
  }
  if (search_->round_is_over()) end_round();
}

}  // namespace weir
