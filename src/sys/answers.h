#pragma once

#include <linux/netlink.h>

#include <optional>

#include "sys/clsact.h"
#include "sys/links.h"
#include "sys/monitor.h"
#include "sys/rate_limit.h"

// What one whole message of the kernel says. None: nothing of that kind, or it is cut short.
namespace weir::answer {

std::optional<Link> link_of(const nlmsghdr* message);
// IPv6: an address that is the namespace's own from now on.
std::optional<Address> local_of(const nlmsghdr* message);
std::optional<LinkAddressing> addressing_of(const nlmsghdr* message);
std::optional<request::Route> route_of(const nlmsghdr* message);
std::optional<Neighbour> neighbour_of(const nlmsghdr* message);
std::optional<Filter> filter_of(const nlmsghdr* message);
std::optional<Qdisc> qdisc_of(const nlmsghdr* message);
// What leaves by the link is limited so.
std::optional<RateLimit> rate_limit_of(const nlmsghdr* message, std::uint32_t index);
std::optional<NetworkMonitor::Change> change_of(const nlmsghdr* message);

}  // namespace weir::answer
