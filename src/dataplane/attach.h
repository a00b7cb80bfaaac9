#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/pins.h"

namespace weir {

// kXdp: ingress as well, but in the link's driver.
enum class Direction : std::uint8_t { kIngress, kEgress, kXdp };
inline constexpr Direction kDirections[] = {Direction::kIngress, Direction::kEgress,
                                            Direction::kXdp};

// A program that somebody else has put where Weir has one.
struct OtherProgram {
  Direction direction = Direction::kIngress;
  std::string name;
  bool before = false;  // ours; else it sees what ours leaves to the stack
};

// Programs on links of the network, by pinned TCX and XDP links: they outlive the agent. TCX runs
// them in order of attachment beside those of others; XDP takes one. Descriptors are held, too:
// without its BPF file system the agent goes on for as long as it lives.
class Attacher {
 public:
  explicit Attacher(PinPaths paths) : paths_(std::move(paths)) {}

  // Makes `program` run there. What is attached already is adopted; another program of ours is
  // replaced without a gap. Whether nothing was attached before.
  Result<bool> attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                      int program);
  // What is attached to the link under a name that it had before is known by this one.
  void follow_rename(const std::string& ifname, std::uint32_t ifindex);
  // All directions; nothing there is fine.
  void detach(const std::string& ifname);
  void detach(const std::string& ifname, Direction direction);
  // For a link that is gone: its programs went with it, only the pins are left.
  void forget(const std::string& ifname);
  // Names of the links that something is pinned for.
  std::vector<std::string> attached() const;
  // By TCX, in the order in which they run.
  std::vector<OtherProgram> others(const std::string& ifname, std::uint32_t ifindex);

 private:
  std::string pin_path(const std::string& ifname, Direction direction) const;

  PinPaths paths_;
  PinnedLinks links_{paths_};
};

}  // namespace weir
