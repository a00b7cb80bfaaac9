#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dataplane/clsact_hooks.h"
#include "dataplane/hook.h"
#include "dataplane/link_hooks.h"
#include "dataplane/pins.h"

namespace weir {

// Programs on links of the network: those of ingress and egress by TCX or by clsact, XDP by links
// in any case. What an earlier agent attached the other way moves.
class Attacher {
 public:
  // moving: told before a link has programs by both ways, and after.
  Attacher(const PinPaths& paths, bool clsact, std::function<void(bool)> moving)
      : clsact_(clsact), moving_(std::move(moving)), links_(paths), filters_(paths) {}

  // As Hooks::attach. What has moved is nothing new.
  Result<bool> attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                      int program);
  // What is attached to the link under a name that it had before is known by this one.
  void follow_rename(const std::string& ifname, std::uint32_t ifindex) {
    links_.follow_rename(ifname, ifindex);
  }
  // All directions; nothing there is fine.
  void detach(const std::string& ifname);
  void detach(const std::string& ifname, Direction direction);
  // For a link that is gone: its programs went with it, only the pins are left.
  void forget(const std::string& ifname);
  // Names of the links that there is something on, or pinned for.
  std::vector<std::string> attached();
  // In the order in which they run.
  std::vector<OtherProgram> others(const std::string& ifname, std::uint32_t ifindex);

 private:
  Result<bool> move(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                    int program);
  Hooks& wanted() { return clsact_ ? static_cast<Hooks&>(filters_) : links_; }
  Hooks& former() { return clsact_ ? static_cast<Hooks&>(links_) : filters_; }

  bool clsact_;
  std::function<void(bool)> moving_;
  LinkHooks links_;
  ClsactHooks filters_;
  std::set<std::pair<std::string, Direction>> settled_;  // nothing is there by the other way
};

// Takes all programs of ours off the links of this network namespace. REQUIRES: no agent runs here.
void detach_all(const PinPaths& paths);

}  // namespace weir
