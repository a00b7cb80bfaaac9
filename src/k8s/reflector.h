#pragma once

#include <simdjson.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <string_view>

#include "k8s/http_client.h"
#include "k8s/source.h"
#include "model/object.h"
#include "sys/poller.h"

namespace weir {

// What is listed and watched.
struct Resource {
  Kind kind;
  std::string path;       // "/api/v1/pods"
  std::string selectors;  // escaped query: "labelSelector=...", or empty
};

// Times of a Reflector, shorter in tests.
struct ReflectorPace {
  using Duration = std::chrono::milliseconds;
  Duration first_retry{200};
  Duration longest_retry{30'000};
  Duration settled{30'000};         // a stream that lived as long was no failure
  Duration stream{480'000};         // how long the server is asked to go on; half to whole
  Duration list_silence{30'000};    // while objects are awaited
  Duration watch_silence{150'000};  // the server gives a bookmark about once a minute
};

// Keeps a Sink equal to what an API server has of one resource: lists by a stream where the server
// can (WatchList), by pages where it cannot, then watches; goes on where it was after a break, and
// lists anew when that is not possible. What a server says against its own order is not believed.
class Reflector {
 public:
  struct Owner {
    std::function<void()> synced;   // once, after the first complete list
    std::function<void()> trouble;  // problem() is another one
  };
  // Client, poller and sink outlive the reflector.
  Reflector(Resource resource, HttpClient& client, Poller& poller, Sink& sink, Owner owner,
            ReflectorPace pace);
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start() { list(); }
  bool synced() const { return synced_; }
  // What keeps it from being up to date; empty: nothing.
  const std::string& problem() const { return problem_; }

 private:
  using Json = simdjson::dom::element;
  struct Known {
    std::uint64_t version = 0;
    std::uint32_t round = 0;  // the list that it was last in
  };
  enum class Phase : std::uint8_t { kStreamedList, kPagedList, kWatch };

  void list();
  void list_page(const std::string& token);
  void take_page(const std::string& body);
  void list_is_complete(std::uint64_t version);
  void watch();
  void stream(const std::string& query, Phase phase);
  bool take(std::string_view data);
  bool take_line(std::string_view line);
  bool take_event(std::string_view type, const Json& event);
  bool take_bookmark(const Json& event, std::uint64_t version);
  bool take_error(const Json& event);
  void keep(const Json& object, std::uint64_t version);
  void drop(const Json& object, std::uint64_t version);
  void stream_ended(const HttpClient::End& end);
  void on_refusal(const HttpClient::End& end);
  bool distrust(const std::string& why);
  bool is_stale(std::uint64_t version);
  void forget_versions();
  void set_problem(std::string text);
  void say(const std::string& what);
  void again(bool from_start, HttpClient::Duration at_least = {});

  Resource resource_;
  HttpClient& client_;
  Poller& poller_;
  Sink& sink_;
  Owner owner_;
  ReflectorPace pace_;

  simdjson::dom::parser parser_;
  std::map<ObjectKey, Known> known_;
  std::string buffer_;  // an incomplete line
  Phase phase_ = Phase::kStreamedList;
  std::uint32_t round_ = 0;
  std::uint64_t version_ = 0;  // up to which the sink is right
  std::uint64_t newest_ = 0;   // ever seen
  bool streams_lists_ = true;
  bool list_anew_ = true;  // after the stream's end
  bool synced_ = false;
  std::string problem_;
  int failures_ = 0;
  int stale_lists_ = 0;
  Poller::Clock::time_point began_{};
  HttpClient::Id exchange_ = 0;
  Poller::Id timer_ = 0;
  std::minstd_rand random_;
};

}  // namespace weir
