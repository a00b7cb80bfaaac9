#include "k8s/source.h"

#include <poll.h>

namespace weir {

bool Source::poll(std::chrono::milliseconds timeout) {
  pollfd waiting{.fd = fd(), .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return false;
  dispatch();
  return true;
}

}  // namespace weir
