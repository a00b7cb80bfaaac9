#include "sys/monitor.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

#include "sys/answers.h"
#include "sys/attributes.h"
#include "sys/netlink.h"

namespace weir {

std::optional<NetworkMonitor::Change> answer::change_of(const nlmsghdr* message) {
  using Subject = NetworkMonitor::Subject;
  const bool gone = message->nlmsg_type == RTM_DELLINK || message->nlmsg_type == RTM_DELADDR ||
                    message->nlmsg_type == RTM_DELROUTE || message->nlmsg_type == RTM_DELNEIGH;
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const auto* header = header_of<ifinfomsg>(message);
      if (header == nullptr) return {};
      return NetworkMonitor::Change{Subject::kLink, gone,
                                    static_cast<std::uint32_t>(header->ifi_index)};
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const auto* header = header_of<ifaddrmsg>(message);
      if (header == nullptr) return {};
      return NetworkMonitor::Change{Subject::kAddress, gone, header->ifa_index};
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const auto* header = header_of<rtmsg>(message);
      if (header == nullptr) return {};
      return NetworkMonitor::Change{Subject::kRoute, gone, 0, header->rtm_protocol,
                                    header->rtm_dst_len == 0};
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const auto* header = header_of<ndmsg>(message);
      if (header == nullptr || (header->ndm_state & NUD_PERMANENT) == 0) return {};
      return NetworkMonitor::Change{Subject::kNeighbour, gone,
                                    static_cast<std::uint32_t>(header->ndm_ifindex)};
    }
    default:
      return {};
  }
}

Result<NetworkMonitor> NetworkMonitor::open() {
  WEIR_ASSIGN(Fd fd, listen_netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                    RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH));
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
    for (; is_whole(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (const auto change = answer::change_of(message)) changes.changes.push_back(*change);
    }
  }
}

}  // namespace weir
