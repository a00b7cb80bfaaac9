#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dataplane/programs.h"
#include "sys/netns.h"

namespace weir {

// The network namespace of that cookie; an error: there is none any more.
using NetnsOf = std::function<Result<Netns>(std::uint64_t cookie)>;

// Ends the TCP connections that were translated at the socket to a backend at one of these
// addresses, whose pods are gone: their owners get ECONNABORTED. How many ended. Costs what there
// are translated connections on this node. May run on any thread, one at a time.
Result<std::uint64_t> end_connections(const Programs& programs, const Maps& maps,
                                      const std::vector<Address>& gone, const NetnsOf& netns_of);

}  // namespace weir
