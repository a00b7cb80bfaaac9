#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/links.h"

namespace weir {

// A VXLAN device that takes its tunnel headers from BPF programs. It resolves no neighbours: every
// node's device has the same address, and frames carry it as their destination.
struct VxlanConfig {
  std::string name = "weir_vxlan";
  std::uint16_t port = 8472;
  LinkAddress address{};
  std::uint32_t mtu = 1450;
};

// Makes it or brings it to this shape, up; gives its index. A device that cannot be changed in
// place is made anew; a device of that name that is no VXLAN is kExists and stays.
Result<std::uint32_t> ensure_vxlan(Netlink& netlink, const VxlanConfig& config);
// Absent is success.
Result<void> remove_link(Netlink& netlink, const std::string& name);
// Several at the price of one: the kernel waits once for all.
Result<void> remove_links(Netlink& netlink, const std::vector<std::string>& names);

// Makes the routes of kNodeRouteProtocol exactly these: sets what is missing or differs, then
// deletes the others. Sets the protocol itself.
Result<void> ensure_kernel_routes(Netlink& netlink, std::vector<request::Route> routes);

// Addresses by which this node can be reached: not loopback, not link-local.
Result<std::vector<LinkAddressing>> own_addresses(Netlink& netlink);

// The calling thread's namespace takes packets by this link that bear one of its own addresses as
// source: answers to what it has asked of itself through a Service.
Result<void> accept_own_addresses(const std::string& ifname);

// The calling thread's namespace routes packets of these families.
Result<void> ensure_forwarding(bool ipv4, bool ipv6);

}  // namespace weir
