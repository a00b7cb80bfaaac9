#pragma once

#include <sched.h>

#include <thread>

#include "sys/netns.h"

namespace weir {

// For tests: an unnamed namespace, gone with its last user.
inline Result<Netns> make_scratch_netns() {
  Result<Netns> made = Error(Code::kKernel, "not tried");
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) {
      made = errno_error(errno, "unshare");
    } else {
      made = Netns::current();
    }
  }).join();
  return made;
}

}  // namespace weir
