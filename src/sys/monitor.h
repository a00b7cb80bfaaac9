#pragma once

#include <cstdint>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// What changed in the namespace where it was opened: links, addresses, routes, permanent
// neighbours.
class NetworkMonitor {
 public:
  enum class Subject { kLink, kAddress, kRoute, kNeighbour };
  struct Change {
    Subject subject;
    bool gone;
    std::uint32_t index;        // of the link; routes: 0
    std::uint8_t protocol = 0;  // of a route: who made it
    bool is_default = false;    // of a route: to everywhere
  };
  struct Changes {
    std::vector<Change> changes;
    bool lost = false;  // the kernel dropped some: look at everything
  };

  static Result<NetworkMonitor> open();
  // Readable when there is something to read(). Non-blocking.
  int fd() const { return fd_.get(); }
  // All that is pending; empty when nothing is.
  Result<Changes> read();

 private:
  explicit NetworkMonitor(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace weir
