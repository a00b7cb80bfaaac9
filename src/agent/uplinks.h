#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "abi/device.h"
#include "base/address.h"
#include "base/result.h"
#include "dataplane/settings.h"
#include "state/entries.h"
#include "sys/netlink.h"

namespace weir {

struct Uplink {
  std::string name;
  std::uint32_t ifindex = 0;
  std::uint32_t mtu = 0;
  std::vector<Address> addresses;
};

inline constexpr const char* kTunnelName = "weir_vxlan";
inline constexpr const char* kLoopbackName = "lo";

// How this node reaches others: what the kernel has, read anew each time.
struct Uplinks {
  std::vector<Uplink> devices;
  std::uint32_t tunnel = 0;        // ifindex; 0: none
  std::uint32_t link_mtu = 1500;   // what fits into every device
  std::uint32_t pod_mtu = 1500;    // without the tunnel's headers
  std::vector<Address> addresses;  // all of this host's

  // Is this link one of them, or the tunnel?
  bool has(std::uint32_t ifindex) const;
  // Rows of weir_device.
  std::map<std::uint32_t, weir_device> rows() const;
  // The address that this node's tunnel ends at, or its first.
  Address node_address(Family family) const;
};

// names: empty for all links with a default route. kNotFound when one is missing, or there is none.
Result<std::vector<Uplink>> choose_devices(Netlink& netlink, const std::vector<std::string>& names);

// Of these devices. Makes the tunnel device when settings want it.
Result<Uplinks> find_uplinks(Netlink& netlink, const std::vector<std::string>& names,
                             const Settings& settings);

// The host's own routes to other nodes' pods.
Result<void> set_kernel_routes(Netlink& netlink, const std::map<Cidr, NodeRoute>& routes,
                               const Uplinks& uplinks);

}  // namespace weir
