#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "model/host_port.h"
#include "model/key.h"

namespace weir {

using Mac = std::array<std::uint8_t, 6>;

std::string to_string(const Mac& mac);

// What a pod may send or receive on its link, link headers included.
struct Bandwidth {
  std::uint64_t rate = 0;   // bits per second; 0: as much as there is
  std::uint64_t burst = 0;  // bits at full speed after silence; 0: as suits the rate

  friend bool operator==(const Bandwidth&, const Bandwidth&) = default;
};

// A sandbox attached on this node: the one end of a pod's link that this agent looks after.
struct Endpoint {
  std::uint32_t handle = 0;  // never reused while the node lives: a higher one is newer
  std::string container_id;
  std::string ifname;              // inside the pod
  std::string netns;               // path
  std::uint64_t netns_cookie = 0;  // the kernel's number of that namespace; 0: not known
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;
  std::string host_ifname;
  std::uint32_t host_ifindex = 0;
  Mac mac{};  // pod side of the link
  std::vector<Address> addresses;
  std::vector<HostPort> ports;      // as its runtime asked
  Bandwidth ingress;                // to the pod
  Bandwidth egress;                 // from the pod
  std::uint32_t ingress_rules = 0;  // rule set, 0: none
  std::uint32_t egress_rules = 0;

  ObjectKey pod() const { return {pod_namespace, pod_name}; }

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace weir
