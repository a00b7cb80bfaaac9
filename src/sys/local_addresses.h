#pragma once

#include <chrono>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace weir {

// IPv6 addresses that are being added to a link. The kernel's answer comes before they are its own:
// a worker of its makes the local route, also without duplicate address detection, and what comes
// for them earlier is dropped (IP_INADDRERRORS).
class LocalAddresses {
 public:
  // Hears of those that are added from now on, in the network namespace of this thread.
  static Result<LocalAddresses> open();

  // Until all of IPv6 among `addresses` are there. kUnavailable: not within `patience`.
  Result<void> wait_for(std::vector<Address> addresses, std::chrono::milliseconds patience);

 private:
  explicit LocalAddresses(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace weir
