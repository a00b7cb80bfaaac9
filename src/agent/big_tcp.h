#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sys/links.h"

namespace weir {

// BIG TCP: packets of more than 64 KiB on pods' links. One that is larger than the link it leaves
// by takes is cut up before that link, down to the MTU: ten times slower
// (docs/decisions/0013-big-tcp.md). So the smallest link decides for all.
inline constexpr std::uint32_t kBigTcpSize = 196'608;

struct BigTcp {
  std::uint32_t size = kLegacyGsoSize;  // for pods' links, at most kBigTcpSize
  std::string limit;                    // the link that forbids more; empty: none does
};

// ways: indexes of the links that pods' packets can leave by; what lies below them counts as well:
// ports of a bridge or bond, a VLAN's link. links: all of this node.
BigTcp choose_big_tcp(const std::vector<Link>& links, const std::vector<std::uint32_t>& ways);

}  // namespace weir
