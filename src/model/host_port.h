#pragma once

#include <cstdint>

#include "base/address.h"
#include "model/service.h"

namespace weir {

// A port of a pod that is reached by the node's addresses, too.
struct HostPort {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t host_port = 0;
  std::uint16_t port = 0;
  // Zero (::): any address of the node; 0.0.0.0: any IPv4 address.
  Address host_ip;

  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// They want the same port of one address.
bool overlap(const HostPort& a, const HostPort& b);

}  // namespace weir
