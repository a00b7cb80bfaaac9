#pragma once

#include "base/fd.h"

namespace weir {

// While one lives, the kernel's grace periods are expedited: what waits for one under the RTNL lock
// (TCX attachment, removal of links) takes microseconds instead of 8 to 20 ms, during which nothing
// else on the machine could change a link (docs/decisions/0015-attaching-costs-grace-periods.md).
// The knob is the machine's: users take turns, and the former value comes back, also after a user
// that was killed.
class ExpeditedRcu {
 public:
  // Without the right to the knob all goes on at the ordinary pace.
  ExpeditedRcu();
  ~ExpeditedRcu();
  ExpeditedRcu(const ExpeditedRcu&) = delete;
  ExpeditedRcu& operator=(const ExpeditedRcu&) = delete;

  // Brings the former value back after a user that was killed, without waiting for the next one.
  static void end_abandoned();

 private:
  Fd knob_;  // locked while open
  bool set_ = false;
};

}  // namespace weir
