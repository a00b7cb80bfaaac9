#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dataplane/hook.h"
#include "dataplane/pins.h"

namespace weir {

// Whether this kernel has TCX.
bool has_tcx();

// By pinned TCX and XDP links. TCX runs them in order of attachment beside those of others; XDP
// takes one. Descriptors are held, too: without its BPF file system the agent goes on for as long
// as it lives.
class LinkHooks final : public Hooks {
 public:
  explicit LinkHooks(PinPaths paths) : paths_(std::move(paths)) {}

  Result<bool> attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                      int program) override;
  bool has(const std::string& ifname, std::uint32_t ifindex, Direction direction) override;
  void detach(const std::string& ifname, Direction direction) override;
  void forget(const std::string& ifname) override;
  std::vector<std::string> attached() override;
  std::vector<OtherProgram> others(const std::string& ifname, std::uint32_t ifindex) override;
  // What is attached to the link under a name that it had before is known by this one.
  void follow_rename(const std::string& ifname, std::uint32_t ifindex);

 private:
  std::string pin_path(const std::string& ifname, Direction direction) const;

  PinPaths paths_;
  PinnedLinks links_{paths_};
};

}  // namespace weir
