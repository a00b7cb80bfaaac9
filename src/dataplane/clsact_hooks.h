#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dataplane/hook.h"
#include "dataplane/pins.h"
#include "sys/netlink.h"

namespace weir {

// By filters of clsact, Weir's known by their priority and handle (sys/clsact.h). Those of others
// stay, and so does a clsact that others have made or use; that it is Weir's own, a folder beside
// the pins says. Not for XDP.
//
// While clsact is added to a link that is up, or deleted, the kernel drops what the link should
// send, for some ms (docs/decisions/0053-clsact.md). So Weir's stays until it leaves the link.
class ClsactHooks final : public Hooks {
 public:
  explicit ClsactHooks(PinPaths paths) : paths_(std::move(paths)) {}

  Result<bool> attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                      int program) override;
  bool has(const std::string& ifname, std::uint32_t ifindex, Direction direction) override;
  void detach(const std::string& ifname, Direction direction) override;
  void leave(const std::string& ifname) override;
  void forget(const std::string& ifname) override;
  std::vector<std::string> attached() override;
  std::vector<OtherProgram> others(const std::string& ifname, std::uint32_t ifindex) override;

 private:
  Result<Netlink*> netlink();
  std::string mark(std::uint32_t ifindex) const;
  Result<void> ensure_clsact(Netlink& netlink, const std::string& ifname, std::uint32_t ifindex);
  std::set<std::uint32_t> marked(const std::vector<std::uint32_t>& there) const;

  PinPaths paths_;
  std::optional<Netlink> netlink_;                // none: nobody has asked yet
  std::map<std::string, std::uint32_t> indexes_;  // of links that programs were attached to
};

}  // namespace weir
