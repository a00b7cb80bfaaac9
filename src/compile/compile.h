#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/address.h"
#include "state/entries.h"
#include "state/store.h"

namespace weir {

// What compile must know besides the objects.
struct NodeConfig {
  std::string name;                   // of this node; its own Node object gives its pod ranges
  bool tunnel = true;                 // off: native routing
  std::vector<Address> addresses;     // this host's own, from the kernel; loopback is skipped
  std::vector<Cidr> service_cidrs{};  // ranges of ClusterIPs
  std::vector<Cidr> non_masquerade_cidrs{};  // outside, but pods speak to it with their own address
  std::uint64_t netns_cookie = 0;            // of this host's namespace; 0: not known
  // By an address of another node: what the way there takes of a packet, without the tunnel's own
  // headers, where it is less than this node's link takes.
  std::map<Address, std::uint16_t> path_mtus{};

  friend bool operator==(const NodeConfig&, const NodeConfig&) = default;
};

struct Compiled {
  Entries entries;
  // Objects that contradict each other or cannot be served, one sentence each, sorted. The entries
  // hold the winner, which depends on the objects only, never on the order in which they came.
  std::vector<std::string> conflicts;

  friend bool operator==(const Compiled&, const Compiled&) = default;
};

// Pure: equal inputs, equal output. The passes are listed in passes.h.
Compiled compile(const Snapshot& snapshot, const NodeConfig& config);

}  // namespace weir
