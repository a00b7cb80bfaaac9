#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "model/endpoint.h"
#include "sys/links.h"
#include "sys/netlink.h"
#include "sys/netns.h"

namespace weir {

struct PodLinkOptions {
  std::uint32_t mtu = 1500;
  std::uint32_t gso_max_size = kLegacyGsoSize;
  std::vector<Address> node_addresses;  // at most one per family: what the host speaks to pods from
};

// The pod's address as a link address: the locally administered 0a:58 and its last four bytes.
Mac mac_of(const Address& first);

// Makes the link of an attachment, complete at both ends: one exchange on the node, one in the pod.
// `endpoint` is complete. After a failure the caller removes what there is of the link, by its
// name. kExists: a name is taken, here or in the pod.
Result<void> create_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                             const PodLinkOptions& options);

// Everything create_pod_link made is still there; else an Error names what is not.
Result<void> check_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                            std::uint32_t mtu);

// Both ends take packets of that size, and the pod's connections heed it from their next packet on.
Result<void> resize_pod_link(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                             std::uint32_t gso_max_size);

// Sets limits of the pod's rates that are gone or others; true: there was one.
Result<bool> mend_rates(Netlink& node, const Netns& pod, const Endpoint& endpoint,
                        std::uint32_t mtu);

}  // namespace weir
