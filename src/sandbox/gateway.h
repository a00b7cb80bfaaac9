#pragma once

#include "abi/endpoint.h"
#include "base/address.h"
#include "sys/links.h"

namespace weir {

// What every pod sees at the other end of its link. The addresses exist nowhere: the pod's static
// neighbour entries lead to the host side's link address.
inline constexpr LinkAddress kGatewayLinkAddress = WEIR_LINK_MAC;

inline Address gateway(Family family) {
  static const Address ipv6 = *Address::parse("fe80::1");
  return family == Family::kIpv4 ? Address::v4(0xa9fe0101) : ipv6;
}

inline Cidr everything(Family family) {
  return {family == Family::kIpv4 ? Address::v4(0) : Address(), 0};
}

inline Cidr only(const Address& address) { return {address, address.is_v4() ? 32 : 128}; }

}  // namespace weir
