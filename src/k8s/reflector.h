#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>

#include "k8s/http_client.h"
#include "k8s/mirror.h"
#include "k8s/source.h"
#include "model/object.h"
#include "sys/poller.h"

namespace weir {

// What is listed and watched.
struct Resource {
  Kind kind;
  std::string path;       // "/api/v1/pods"
  std::string selectors;  // escaped query: "labelSelector=...", or empty
  bool rests = false;     // changes are many and in no hurry: they come on a connection apart
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
  Duration rest{1000};              // between two readings of what is in no hurry
};

// Asks an API server for one resource, so that a Mirror stays equal: lists by a stream where the
// server can (WatchList), by pages where it cannot or they cost it less, then watches; goes on
// where it was after a break, and lists anew when that is not possible.
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
  // Though the server may have streams for it.
  void list_by_pages() { streams_lists_ = false; }
  Kind kind() const { return resource_.kind; }
  bool synced() const { return synced_; }
  // What keeps it from being up to date; empty: nothing.
  const std::string& problem() const { return problem_; }

 private:
  void list();
  void list_page(const std::string& token);
  void take_page(const std::string& body);
  void watch();
  void stream(const std::string& query);
  bool take(std::string_view data);
  void list_is_complete();
  void stream_ended(const HttpClient::End& end);
  void list_broke(const HttpClient::End& end);
  void on_refusal(const HttpClient::End& end);
  std::string refusal(const HttpClient::End& end) const;
  void set_problem(std::string text);
  void say(const std::string& what);
  void again(bool from_start, HttpClient::Duration at_least = {});

  Resource resource_;
  HttpClient& client_;
  Poller& poller_;
  Owner owner_;
  ReflectorPace pace_;

  Mirror mirror_;
  bool streams_lists_ = true;
  bool next_by_pages_ = false;
  bool streamed_ = false;  // the list that is under way
  bool list_anew_ = true;  // after the stream's end
  bool synced_ = false;
  std::string problem_;
  int failures_ = 0;
  Poller::Clock::time_point began_{};
  HttpClient::Id exchange_ = 0;
  Poller::Id timer_ = 0;
  std::minstd_rand random_;
};

}  // namespace weir
