#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace weir {

// kXdp: ingress as well, but in the link's driver.
enum class Direction : std::uint8_t { kIngress, kEgress, kXdp };
inline constexpr Direction kDirections[] = {Direction::kIngress, Direction::kEgress,
                                            Direction::kXdp};

// A program that somebody else has put where Weir has one.
struct OtherProgram {
  Direction direction = Direction::kIngress;
  std::string attach;  // "tcx", "clsact"
  std::string name;
  bool before = false;  // ours; else it sees what ours leaves to the stack
};

// A way of the kernel to run programs on links. What is attached outlives the agent.
class Hooks {
 public:
  Hooks() = default;
  virtual ~Hooks() = default;
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  // Makes `program` run there. What is attached already is adopted; another program of ours is
  // replaced without a gap. Whether nothing was attached before.
  virtual Result<bool> attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                              int program) = 0;
  virtual bool has(const std::string& ifname, std::uint32_t ifindex, Direction direction) = 0;
  // Nothing there is fine.
  virtual void detach(const std::string& ifname, Direction direction) = 0;
  // After detach() of all: the link is not ours any more.
  virtual void leave(const std::string& /*ifname*/) {}
  // For a link that is gone: its programs went with it.
  virtual void forget(const std::string& ifname) = 0;
  // Names of the links that have something of ours, or had when they went.
  virtual std::vector<std::string> attached() = 0;
  // In the order in which they run.
  virtual std::vector<OtherProgram> others(const std::string& ifname, std::uint32_t ifindex) = 0;
};

// The kernel's name of a program; empty: it has none, or is gone just now.
std::string program_name(std::uint32_t id);

}  // namespace weir
