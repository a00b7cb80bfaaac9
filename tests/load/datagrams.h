#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sockets.h"

namespace load {

// Numbered datagrams to places that echo them, at a steady rate; each socket's place is the next
// one's.
class Datagrams {
 public:
  Datagrams(Loop& loop, const std::vector<Place>& places, std::int64_t rate);
  ~Datagrams();
  // What is due by now.
  void send(std::int64_t now);
  bool all_came() const { return came() == sent_; }
  std::uint64_t came() const;
  // JSON members.
  std::string report(std::int64_t now) const;

 private:
  class Flow;

  std::int64_t rate_;
  std::int64_t begun_;
  std::uint64_t sent_ = 0;
  std::vector<std::unique_ptr<Flow>> flows_;
  std::size_t next_ = 0;
};

}  // namespace load
