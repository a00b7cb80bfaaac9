// Sandboxes of this node -> weir_endpoint, one entry per address.
#include <fmt/format.h>

#include <algorithm>

#include "compile/passes.h"

namespace weir {
namespace {

weir_endpoint entry_of(const Endpoint& endpoint, const Address& address) {
  weir_endpoint entry{};
  entry.id = to_abi(address);
  entry.handle = endpoint.handle;
  entry.ifindex = endpoint.host_ifindex;
  entry.ingress_rules = endpoint.ingress_rules;
  entry.egress_rules = endpoint.egress_rules;
  entry.queued = endpoint.ingress.rate != 0;
  std::ranges::copy(endpoint.mac, entry.mac);
  return entry;
}

}  // namespace

// Handles grow and the table is in their order, so the newest sandbox wins an address.
void endpoints(const Snapshot& snapshot, const NodeConfig&, Compiled& out) {
  for (const auto& [handle, endpoint] : snapshot.endpoints) {
    for (const Address& address : endpoint.addresses) {
      const auto [it, is_new] = out.entries.endpoints.try_emplace(address);
      if (!is_new && it->second.handle != handle) {
        const Endpoint& loser = snapshot.endpoints.at(it->second.handle);
        out.conflicts.push_back(
            fmt::format("address {}: sandboxes of pods {} and {} both have it; it goes to {}",
                        address.to_string(), loser.pod().to_string(), endpoint.pod().to_string(),
                        endpoint.pod().to_string()));
      }
      it->second = entry_of(endpoint, address);
    }
  }
}

}  // namespace weir
