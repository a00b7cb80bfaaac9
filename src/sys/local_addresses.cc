#include "sys/local_addresses.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "sys/answers.h"
#include "sys/attributes.h"
#include "sys/netlink.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

}  // namespace

std::optional<Address> answer::local_of(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (message->nlmsg_type != RTM_NEWROUTE || header == nullptr || header->rtm_type != RTN_LOCAL)
    return {};
  const nlattr* to = attributes<RTA_DST + 1, rtmsg>(message)[RTA_DST];
  std::array<std::uint8_t, 16> bytes{};
  if (to == nullptr || mnl_attr_get_payload_len(to) != bytes.size()) return {};
  std::memcpy(bytes.data(), mnl_attr_get_payload(to), bytes.size());
  return Address::from_bytes(bytes);
}

Result<LocalAddresses> LocalAddresses::open() {
  WEIR_ASSIGN(Fd fd, listen_netlink(RTMGRP_IPV6_ROUTE));
  return LocalAddresses(std::move(fd));
}

Result<void> LocalAddresses::wait_for(std::vector<Address> addresses, milliseconds patience) {
  std::erase_if(addresses, [](const Address& one) { return one.is_v4(); });
  const auto deadline = Clock::now() + patience;
  char buffer[32 * 1024];
  while (!addresses.empty()) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    pollfd waits{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (left <= milliseconds(0) ||
        (poll(&waits, 1, static_cast<int>(left.count())) < 0 && errno != EINTR))
      return Error(Code::kUnavailable, fmt::format("the kernel does not take {} as its own",
                                                   addresses.front().to_string()));
    const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return errno_error(errno, "netlink");
    int rest = static_cast<int>(std::max<ssize_t>(n, 0));
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer);
    for (; is_whole(message, rest); message = mnl_nlmsg_next(message, &rest)) {
      if (const auto local = answer::local_of(message)) std::erase(addresses, *local);
    }
  }
  return {};
}

}  // namespace weir
