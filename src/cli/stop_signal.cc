#include "cli/stop_signal.h"

#include <sys/signalfd.h>

#include <csignal>

namespace weir::cli {

Fd stop_signal() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return Fd(signalfd(-1, &signals, SFD_CLOEXEC));
}

}  // namespace weir::cli
