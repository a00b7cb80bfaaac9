// net_load serve NETNS ADDRESS PORT ...
//   echoes at these places, by TCP and UDP, until its input ends.
// net_load drive DATAGRAMS LIVE NEW NAME NETNS ADDRESS PORT ...
//   sends so many datagrams a second, holds so many TCP connections, and opens so many others a
//   second, spread over these places. Each line of input is answered by a line of JSON: what has
//   become of them; after "end" no more is sent, and what is on its way has time to come.
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connections.h"
#include "datagrams.h"
#include "server.h"
#include "sockets.h"

namespace {

using load::Connections;
using load::Datagrams;
using load::Loop;
using load::Place;

constexpr std::int64_t kGrace = 2 * load::kSecond;  // after what came last

// Lines of standard input.
class Input : public load::Socket {
 public:
  explicit Input(Loop& loop) { loop.add(STDIN_FILENO, EPOLLIN, *this); }

  void on_event() override {
    std::array<char, 256> bytes{};
    const ssize_t got = read(STDIN_FILENO, bytes.data(), bytes.size());
    ended_ = got <= 0;
    text_.append(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  }
  bool ended() const { return ended_; }
  std::string line() {
    const auto end = text_.find('\n');
    if (end == std::string::npos) return "";
    std::string found = text_.substr(0, end);
    text_.erase(0, end + 1);
    return found;
  }

 private:
  bool ended_ = false;
  std::string text_;
};

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

void serve(const std::vector<std::string>& words) {
  Loop loop;
  Input input(loop);
  std::vector<load::Server> servers;
  for (std::size_t i = 0; i + 2 < words.size(); i += 3)
    servers.emplace_back(loop, Place::parse(words[i + 1], words[i], words[i + 1], words[i + 2]));
  say("ready");
  while (!input.ended()) {
    loop.run_once(-1);
    if (input.line().empty()) continue;
    std::uint32_t overflowed = 0;
    for (const auto& server : servers) overflowed += server.overflowed();
    say(fmt::format(R"({{"overflowed":{}}})", overflowed));
  }
}

// What has not come by `now` is late, or lost.
std::string report(std::int64_t now, std::int64_t sent_for, const Datagrams& datagrams,
                   const Connections& connections) {
  return fmt::format(R"({{"seconds":{:.2f},{},{}}})", static_cast<double>(sent_for) / load::kSecond,
                     datagrams.report(now), connections.report(now));
}

void drive(const std::vector<std::string>& words) {
  Loop loop;
  Input input(loop);
  std::vector<Place> places;
  for (std::size_t i = 3; i + 3 < words.size(); i += 4)
    places.push_back(Place::parse(words[i], words[i + 1], words[i + 2], words[i + 3]));
  Datagrams datagrams(loop, places, std::stol(words[0]));
  Connections connections(loop, places, std::stoul(words[1]), std::stol(words[2]));
  const std::int64_t begun = load::now_ns();
  std::int64_t sending_ended = 0;
  std::int64_t last_came = 0;
  std::uint64_t came = 0;
  while (!input.ended()) {
    const std::int64_t now = load::now_ns();
    if (sending_ended == 0) datagrams.send(now);
    connections.step(now);
    loop.run_once(1);
    const std::string line = input.line();
    if (line == "end") {
      connections.finish();
      sending_ended = load::now_ns();
    } else if (!line.empty()) {
      say(report(now, now - begun, datagrams, connections));
    }
    if (sending_ended == 0) continue;
    if (std::exchange(came, datagrams.came() + connections.answers()) != came) last_came = now;
    if (now > std::max(sending_ended, last_came) + kGrace ||
        (datagrams.all_came() && connections.quiet())) {
      return say(report(now + kGrace, sending_ended - begun, datagrams, connections));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string_view kind = words.empty() ? "" : words[0];
  const std::vector<std::string> rest(words.begin() + !words.empty(), words.end());
  if (kind == "serve" && rest.size() >= 3) {
    serve(rest);
  } else if (kind == "drive" && rest.size() >= 7) {
    drive(rest);
  } else {
    fmt::print(stderr,
               "usage: net_load serve NETNS ADDRESS PORT ... | "
               "net_load drive DATAGRAMS LIVE NEW NAME NETNS ADDRESS PORT ...\n");
    return 2;
  }
  return 0;
}
