#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/kernel_drop.h"
#include "abi/metrics.h"
#include "base/result.h"
#include "dataplane/pins.h"

namespace weir {

// Which of the kernel's reasons are counted: docs/decisions/0052-what-the-kernel-drops.md.
// name: as in KernelReasons.
weir_kernel_reason kind_of_kernel_reason(std::string_view name);

// Why the running kernel drops packets, by the numbers and names of its BTF.
class KernelReasons {
 public:
  static Result<KernelReasons> read();

  // "NEIGH_FAILED": as `enum skb_drop_reason` has it, without the prefix; the number where the
  // kernel has none of that number.
  std::string name(std::uint32_t reason) const;
  const weir_kernel_reasons& abi() const { return abi_; }

 private:
  std::vector<std::string> names_;
  weir_kernel_reasons abi_{};
};

// The program on the kernel's tracepoint, by a pinned link: it outlives the agent.
class TracepointAttacher {
 public:
  explicit TracepointAttacher(PinPaths paths) : paths_(std::move(paths)) {}

  // Makes `program` run, and no other of ours.
  Result<void> attach(int program);
  // Nothing there is fine.
  void detach();

 private:
  std::string pin_path() const { return paths_.links() + "/kernel_drop"; }

  PinPaths paths_;
  PinnedLinks links_{paths_};
};

struct KernelDrops {
  std::uint32_t reason = 0;  // KernelReasons
  std::uint32_t pod = 0;     // weir_endpoint.handle; 0: all, of pods that are gone, too
  weir_metric count{};
};

}  // namespace weir
