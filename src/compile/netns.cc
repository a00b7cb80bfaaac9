// Sandboxes of this node, and the node itself -> weir_netns: who calls from which network
// namespace.
#include <algorithm>

#include "compile/passes.h"

namespace weir {
namespace {

// The first of each family.
weir_netns entry_of(const std::vector<Address>& addresses) {
  weir_netns entry{};
  for (const auto& [family, field] :
       {std::pair(Family::kIpv4, &entry.v4), {Family::kIpv6, &entry.v6}}) {
    const auto found = std::ranges::find(addresses, family, &Address::family);
    if (found != addresses.end()) *field = to_abi(*found);
  }
  return entry;
}

}  // namespace

// A namespace with several attachments is known by the oldest.
void netns(const Snapshot& snapshot, const NodeConfig& config, Compiled& out) {
  const auto own = snapshot.nodes.find({"", config.name});
  if (config.netns_cookie != 0 && own != snapshot.nodes.end()) {
    out.entries.netns[config.netns_cookie] = entry_of(own->second.addresses);
  }
  for (const auto& [handle, endpoint] : snapshot.endpoints) {
    if (endpoint.netns_cookie == 0) continue;
    out.entries.netns.try_emplace(endpoint.netns_cookie, entry_of(endpoint.addresses));
  }
}

}  // namespace weir
