#include "agent/big_tcp.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace weir {
namespace {

bool lies_below(const Link& link, const Link& upper) {
  if (link.master == upper.index) return true;
  const bool stacked = upper.kind != "veth" && !upper.peer_netns;
  return stacked && upper.peer_index == link.index;
}

void collect(const std::vector<Link>& links, const Link& upper, std::set<std::uint32_t>& found) {
  if (!found.insert(upper.index).second) return;
  for (const Link& link : links) {
    if (lies_below(link, upper)) collect(links, link, found);
  }
}

// What the driver could take is in the hands of whoever runs the machine; a tunnel's is not.
std::string describe(const Link& link) {
  const bool could = link.tso_max_size >= kBigTcpSize;
  return fmt::format("{} takes packets of {} bytes{}", link.name, link.gso_max_size,
                     could ? fmt::format(", its driver would take {}", link.tso_max_size)
                           : ", its driver takes no more");
}

}  // namespace

BigTcp choose_big_tcp(const std::vector<Link>& links, const std::vector<std::uint32_t>& ways) {
  std::set<std::uint32_t> found;
  for (const Link& link : links) {
    if (std::ranges::find(ways, link.index) != ways.end()) collect(links, link, found);
  }
  const Link* least = nullptr;
  for (const Link& link : links) {
    if (!found.contains(link.index)) continue;
    if (least == nullptr || link.gso_max_size < least->gso_max_size) least = &link;
  }
  if (least == nullptr) return {.limit = "there is no link to other machines"};
  if (least->gso_max_size >= kBigTcpSize) return {.size = kBigTcpSize, .limit = ""};
  return {.size = std::max(least->gso_max_size, kLegacyGsoSize), .limit = describe(*least)};
}

}  // namespace weir
