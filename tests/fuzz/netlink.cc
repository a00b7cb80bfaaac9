// Answers and news of the kernel: whole messages, one behind the other, and what is cut short.
#include <libmnl/libmnl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "sys/answers.h"
#include "sys/attributes.h"

namespace {

void expect(bool what) {
  if (!what) std::abort();
}

void read(const nlmsghdr* message) {
  if (const auto link = weir::answer::link_of(message)) {
    expect(link->name.find('\0') == std::string::npos);
    expect(!link->vxlan || link->kind == "vxlan");
  }
  static_cast<void>(weir::answer::addressing_of(message));
  static_cast<void>(weir::answer::route_of(message));
  static_cast<void>(weir::answer::local_of(message));
  static_cast<void>(weir::answer::filter_of(message));
  static_cast<void>(weir::answer::qdisc_of(message));
  static_cast<void>(weir::answer::rate_limit_of(message, 2));
  const auto neighbour = weir::answer::neighbour_of(message);
  const auto change = weir::answer::change_of(message);
  const bool is_neighbour = change && change->subject == weir::NetworkMonitor::Subject::kNeighbour;
  if (is_neighbour && neighbour) {
    expect(neighbour->permanent && neighbour->index == change->index);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // In memory of its own, padded as messages are, so that a step beyond the end is seen.
  const auto memory = std::make_unique<std::uint8_t[]>(MNL_ALIGN(size));
  std::copy_n(data, size, memory.get());
  int left = static_cast<int>(size);
  const auto* message = reinterpret_cast<const nlmsghdr*>(memory.get());
  for (; weir::is_whole(message, left); message = mnl_nlmsg_next(message, &left)) read(message);
  return 0;
}
