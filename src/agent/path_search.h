#pragma once

#include <cstdint>
#include <vector>

namespace weir {

// Which size of packets comes through to a peer, found by sending some, in rounds of a few sizes at
// once. Sizes are those of IP packets, in bytes.
class PathSearch {
 public:
  enum class State {
    kAsking,
    kWhole,    // what this host's link takes comes through
    kSmaller,  // only size() does
    kSilent,   // not even the least: the peer is away, or does not answer
  };

  // least: what every path takes; most: what this host's own link takes.
  PathSearch(std::uint32_t least, std::uint32_t most) : least_(least), most_(candidate_ = most) {}

  // What to send in the next round. REQUIRES: kAsking.
  std::vector<std::uint32_t> next();
  void came_through(std::uint32_t size);
  bool too_large(std::uint32_t mtu);  // a router says so; whether it is news
  // Nothing more is to be learnt from this round.
  bool round_is_over() const;
  // When it is over, or its time.
  void end_round();

  State state() const { return state_; }
  std::uint32_t size() const { return largest_; }

 private:
  void narrow();

  std::uint32_t least_;
  std::uint32_t most_;
  std::uint32_t candidate_;      // most_, or what a router says
  std::uint32_t largest_ = 0;    // that came through
  std::uint32_t too_large_ = 0;  // while it narrows: the smallest that did not
  int tries_ = 0;                // of the candidate; 0: it is a new one
  std::vector<std::uint32_t> round_;
  State state_ = State::kAsking;
};

}  // namespace weir
