#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/path_search.h"
#include "base/address.h"
#include "base/result.h"
#include "sys/echo.h"

namespace weir {

// Asks other nodes in turn, by ICMP echo, whether packets as large as this node's links take come
// through: each every five seconds, or two a second where there are more than ten. A smaller link
// between two nodes is silent to those who send through a tunnel.
class PathProber {
 public:
  struct Way {
    std::uint32_t mtu = 0;  // the largest IP packet that comes through
    Address reporter{};     // the router that says so; zero: larger ones vanish without a word
    friend bool operator==(const Way&, const Way&) = default;
  };

  // on_change: smaller() is another.
  PathProber(boost::asio::io_context& loop, std::function<void()> on_change)
      : loop_(loop), timer_(loop), on_change_(std::move(on_change)) {}

  // most: what this node's own links take.
  void set_peers(std::set<Address> peers, std::uint32_t most);
  // The ways that take less than this node's links.
  const std::map<Address, Way>& smaller() const { return smaller_; }
  // Why nothing is asked; empty: it is.
  const std::string& problem() const { return problem_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Socket {
    EchoSocket echo;
    boost::asio::posix::stream_descriptor ready;
  };

  void ask_next();
  void begin_round();
  void end_round();
  void finish();
  void learn(std::uint32_t mtu);
  Result<Socket*> socket_for(Family family);
  void listen(Socket& socket);
  void take(const EchoSocket::Answer& answer);

  boost::asio::io_context& loop_;
  boost::asio::steady_timer timer_;
  std::function<void()> on_change_;
  std::set<Address> peers_;
  std::uint32_t most_ = 0;
  std::map<Address, Way> smaller_;
  std::map<Address, std::uint32_t> doubted_;  // sizes that one search has found, less than known
  std::string problem_;
  std::map<Family, std::unique_ptr<Socket>> sockets_;
  Address peer_;  // that is asked now, or was last
  std::optional<PathSearch> search_;
  Address reporter_;
  std::map<std::uint16_t, std::uint32_t> sent_;  // sequence -> size, of this search
  std::uint16_t sequence_ = 0;
  unsigned round_ = 0;
};

}  // namespace weir
