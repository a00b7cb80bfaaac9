#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/address.h"

namespace weir {

using Mac = std::array<std::uint8_t, 6>;

// Links of the test's network namespace.
inline constexpr std::uint32_t kLinkA = 101;  // pod_a's, host side
inline constexpr std::uint32_t kLinkB = 102;
inline constexpr std::uint32_t kLinkSpare = 103;  // where a pod can move to
inline constexpr std::uint32_t kUplink = 104;
inline constexpr std::uint32_t kTunnel = 105;

inline constexpr Mac kMacA = {0x02, 0, 0, 0, 0, 0x0a};
inline constexpr Mac kMacB = {0x02, 0, 0, 0, 0, 0x0b};
inline constexpr Mac kMacSpare = {0x02, 0, 0, 0, 0, 0x0c};
inline constexpr Mac kMacLink = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
inline constexpr Mac kMacTunnel = {0xee, 0xee, 0xee, 0xee, 0xee, 0x01};
inline constexpr Mac kMacUplink = {0x02, 0, 0, 0, 0, 0xee};   // of the uplink
inline constexpr Mac kMacGateway = {0x02, 0, 0, 0, 0, 0xfe};  // the kernel's neighbours there
inline constexpr Mac kMacNodeR = {0x02, 0, 0, 0, 0, 0xf2};
inline constexpr Mac kMacOther = {0x02, 0, 0, 0, 0, 0xff};

// The actors of every packet test, in one family. Two nodes: `node`, where the programs run, and
// `node_r`; the uplink has node's address.
struct Cast {
  Family family;
  Address pod_a, pod_b;   // pods of node
  Address pod_gone;       // in node's range, no such pod
  Address pod_r, pod_r2;  // pods of node_r
  Address node, node_r;
  Address gateway;  // on the uplink, way to the outside
  Address outside, outside_2;
  Address router;                                   // somewhere on the way
  Address behind_narrow_link, behind_narrow_route;  // 1,400 bytes; kept sources, no uplink
  Address multicast;
  Address vip, vip_2;  // ClusterIPs
  Address vip_unused;  // in the range of ClusterIPs, no Service's
  Address balancer;    // of a load balancer outside the cluster
  Address hairpin;     // what a pod sees that reaches itself through a Service
  Cidr pods, pods_r, services;

  bool v4() const { return family == Family::kIpv4; }
};

inline Address addr(const char* text) { return Address::parse(text).value(); }

inline const Cast& cast_of(Family family) {
  static const Cast v4 = {
      .family = Family::kIpv4,
      .pod_a = addr("10.244.1.10"),
      .pod_b = addr("10.244.1.11"),
      .pod_gone = addr("10.244.1.99"),
      .pod_r = addr("10.244.2.20"),
      .pod_r2 = addr("10.244.2.21"),
      .node = addr("172.30.0.1"),
      .node_r = addr("172.30.0.2"),
      .gateway = addr("172.30.0.254"),
      .outside = addr("198.51.100.7"),
      .outside_2 = addr("198.51.100.8"),
      .router = addr("203.0.113.1"),
      .behind_narrow_link = addr("198.18.1.7"),
      .behind_narrow_route = addr("198.18.2.7"),
      .multicast = addr("224.0.0.251"),
      .vip = addr("10.96.0.10"),
      .vip_2 = addr("10.96.0.11"),
      .vip_unused = addr("10.96.0.99"),
      .balancer = addr("203.0.113.80"),
      .hairpin = addr("169.254.1.1"),
      .pods = Cidr::parse("10.244.1.0/24").value(),
      .pods_r = Cidr::parse("10.244.2.0/24").value(),
      .services = Cidr::parse("10.96.0.0/16").value(),
  };
  static const Cast v6 = {
      .family = Family::kIpv6,
      .pod_a = addr("fd00:244:1::10"),
      .pod_b = addr("fd00:244:1::11"),
      .pod_gone = addr("fd00:244:1::99"),
      .pod_r = addr("fd00:244:2::20"),
      .pod_r2 = addr("fd00:244:2::21"),
      .node = addr("fd00:30::1"),
      .node_r = addr("fd00:30::2"),
      .gateway = addr("fd00:30::fe"),
      .outside = addr("2001:db8:99::7"),
      .outside_2 = addr("2001:db8:99::8"),
      .router = addr("2001:db8:1::1"),
      .behind_narrow_link = addr("2001:db8:18:1::7"),
      .behind_narrow_route = addr("2001:db8:18:2::7"),
      .multicast = addr("ff02::fb"),
      .vip = addr("fd00:96::10"),
      .vip_2 = addr("fd00:96::11"),
      .vip_unused = addr("fd00:96::99"),
      .balancer = addr("2001:db8:80::80"),
      .hairpin = addr("fe80::1"),
      .pods = Cidr::parse("fd00:244:1::/64").value(),
      .pods_r = Cidr::parse("fd00:244:2::/64").value(),
      .services = Cidr::parse("fd00:96::/112").value(),
  };
  return family == Family::kIpv4 ? v4 : v6;
}

}  // namespace weir
