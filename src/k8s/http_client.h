#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "k8s/api_access.h"
#include "sys/poller.h"

namespace weir {

// Exchanges with an API server, side by side on one HTTP/2 connection, but for those that want one
// apart. A server that does not answer, or answers 5xx, makes the next exchange go to the next
// server of the list; a connection without an answer is not used again.
class HttpClient {
 public:
  using Id = std::uint64_t;
  using Duration = std::chrono::milliseconds;

  struct Request {
    std::string method = "GET";
    std::string path;  // with its query
    std::string body{};
    std::string content_type{};
    Duration timeout{30'000};  // of the whole exchange; 0: none
    Duration silence{0};       // longest time without a byte; 0: none
    bool apart = false;        // on the other connection, which may rest
  };
  struct End {
    int status = 0;           // of HTTP; 0: there was no answer
    std::string error;        // of the connection; empty: the answer is complete
    std::string body;         // what OnData was not given: at most 64 MiB
    Duration retry_after{0};  // as the server asked
    bool stopped = false;     // OnData said so
    bool silent = false;      // the longest silence was over

    bool good() const { return error.empty() && status >= 200 && status < 300; }
  };
  // Part of the body of a good answer, at first an empty one as the answer begins; false ends the
  // exchange.
  using OnData = std::function<bool(std::string_view)>;
  // Once, from dispatch() of the poller; may start other exchanges. Not after cancel().
  using OnEnd = std::function<void(const End&)>;

  // The poller outlives the client.
  static Result<std::unique_ptr<HttpClient>> open(ApiAccess access, Poller& poller);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // An empty on_data: the body is collected.
  Id start(Request request, OnData on_data, OnEnd on_end);
  // Unknown is success.
  void cancel(Id id);
  // From now on, another longest silence.
  void set_silence(Id id, Duration silence);
  // While this good answer comes, what arrives on its connection (the one apart) is read at most
  // once in that time: of many small changes each costs less.
  void set_rest(Id id, Duration rest);

  // The server that is asked now.
  const std::string& server() const { return access_.servers[server_]; }
  std::uint64_t bytes_received() const { return bytes_received_; }
  // Longest time without an answer to what was sent, and before a connection stands.
  void set_patience(Duration patience) { patience_ = patience; }

 private:
  struct Exchange;
  struct Multi;
  HttpClient(ApiAccess access, Poller& poller);
  Result<std::shared_ptr<Multi>> open_multi();
  static void set_body(Exchange& exchange);
  void set_up(Exchange& exchange);
  Result<void> set_credentials(Exchange& exchange);
  void set_address(Exchange& exchange);
  std::string words_of(const Exchange& exchange, int code) const;
  void watch_silence(Exchange& exchange);
  void outside(Id id, void (HttpClient::*work)(Exchange&));
  void add(Exchange& exchange);
  void remove(Exchange& exchange);
  void collect_ends(Multi& multi);
  void end(Exchange& exchange, int code);
  void leave_connections(const Exchange& exchange);
  void next_server(std::size_t failed);

  ApiAccess access_;
  Poller& poller_;
  // Of the exchanges to come.
  std::shared_ptr<Multi> multi_;
  std::shared_ptr<Multi> multi_apart_;
  std::map<Id, std::unique_ptr<Exchange>> exchanges_;
  Id next_id_ = 1;
  std::size_t server_ = 0;
  std::uint64_t bytes_received_ = 0;
  Duration patience_{15'000};
  bool inside_ = false;  // below a call of curl's: none of its functions may be called
};

}  // namespace weir
