#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "sockets.h"

namespace load {

// TCP connections to places that echo: some stay and speak twice a second, others begin at a steady
// rate, speak three times in a second and end. What is answered is compared.
class Connections {
 public:
  Connections(Loop& loop, const std::vector<Place>& places, std::uint64_t stay, std::int64_t rate);
  ~Connections();
  // Opens and speaks, as far as it is due.
  void step(std::int64_t now);
  // No other begins, and nothing more is said.
  void finish() { finishing_ = true; }
  // All that was said is answered.
  bool quiet() const;
  std::uint64_t answers() const { return books_.answers; }
  // JSON members.
  std::string report(std::int64_t now) const;

 private:
  class Stream;
  struct Turn {
    std::int64_t when;
    std::unique_ptr<Stream> stream;
  };

  void open(bool stays, std::int64_t now);
  void tell(const std::string& error);

  Loop& loop_;
  const std::vector<Place>& places_;
  std::uint64_t stay_;
  std::int64_t rate_;
  std::int64_t begun_;
  bool finishing_ = false;
  std::deque<Turn> turns_;  // earliest first: all connections, also those that are just over
  std::uint64_t opened_ = 0;

  struct Books {
    std::uint64_t answers = 0, ended = 0, sent_again = 0, failed = 0;
    std::int64_t longest = 0;
    std::vector<std::string> errors;
  } books_;
};

}  // namespace load
