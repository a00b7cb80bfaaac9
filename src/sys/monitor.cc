#include "sys/monitor.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

namespace weir {
namespace {

using Subject = NetworkMonitor::Subject;

std::optional<NetworkMonitor::Change> change_of(const nlmsghdr* message) {
  const void* payload = mnl_nlmsg_get_payload(message);
  const bool gone = message->nlmsg_type == RTM_DELLINK || message->nlmsg_type == RTM_DELADDR ||
                    message->nlmsg_type == RTM_DELROUTE || message->nlmsg_type == RTM_DELNEIGH;
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const int index = static_cast<const ifinfomsg*>(payload)->ifi_index;
      return NetworkMonitor::Change{Subject::kLink, gone, static_cast<std::uint32_t>(index)};
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return NetworkMonitor::Change{Subject::kAddress, gone,
                                    static_cast<const ifaddrmsg*>(payload)->ifa_index};
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return NetworkMonitor::Change{Subject::kRoute, gone, 0,
                                    static_cast<const rtmsg*>(payload)->rtm_protocol};
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const auto* header = static_cast<const ndmsg*>(payload);
      if ((header->ndm_state & NUD_PERMANENT) == 0) return {};
      return NetworkMonitor::Change{Subject::kNeighbour, gone,
                                    static_cast<std::uint32_t>(header->ndm_ifindex)};
    }
    default:
      return {};
  }
}

}  // namespace

Result<NetworkMonitor> NetworkMonitor::open() {
  Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return errno_error(errno, "netlink monitor");
  const int bytes = 1 << 20;
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                      RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH;
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(errno, "netlink monitor");
  }
  return NetworkMonitor(std::move(fd));
}

Result<NetworkMonitor::Changes> NetworkMonitor::read() {
  Changes changes;
  char buffer[32 * 1024];
  while (true) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return changes;
    if (n < 0 && errno == ENOBUFS) {
      changes.lost = true;
      continue;
    }
    if (n < 0) return errno_error(errno, "netlink monitor");
    int left = static_cast<int>(n);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer);
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (const auto change = change_of(message)) changes.changes.push_back(*change);
    }
  }
}

}  // namespace weir
