#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace weir::local {

inline constexpr std::uint64_t kMaxNodes = 8;
inline constexpr std::size_t kMaxPods = 256;
inline constexpr std::size_t kMaxNameLength = 20;

enum class Families : std::uint8_t { kIpv4, kIpv6, kDual };

struct LocalNode {
  std::string name;
  std::vector<Address> addresses;
  std::vector<Cidr> pod_cidrs;
  std::string zone;  // empty: none
};

// What `weir up` was asked for.
struct Cluster {
  std::string name = "default";
  std::uint64_t nodes = 2;
  bool tunnel = true;
  Families families = Families::kDual;
  std::vector<std::string> zones;  // given to the nodes in turn; empty: nodes have none
  std::string agent;               // paths of the programs
  std::string cni;
  std::string dns;       // CoreDNS; empty: names are in /etc/hosts
  std::string programs;  // folder that pods find on PATH
  std::string cgroup;    // of the cluster, in the v2 hierarchy; empty: there is none

  bool ipv4() const { return families != Families::kIpv6; }
  bool ipv6() const { return families != Families::kIpv4; }
  std::vector<LocalNode> make_nodes() const;
};

// The bridge that joins the nodes, and an address beyond it that is in no node's routes.
struct UnderlayAddress {
  Address address;
  int bits;
};
std::vector<UnderlayAddress> gateway_addresses(const Cluster& cluster);
std::vector<Address> outside_addresses(const Cluster& cluster);
// The ranges of clusterIPs and of load balancers' addresses, one per family.
std::vector<Cidr> service_cidrs(const Cluster& cluster);
std::vector<Cidr> balancer_cidrs(const Cluster& cluster);
inline constexpr int kUnderlayBits4 = 24;
inline constexpr int kUnderlayBits6 = 64;

Result<Families> parse_families(std::string_view text);
std::string_view families_name(Families families);
// "a,b" -> zones. kInvalid unless they can be labels' values.
Result<std::vector<std::string>> parse_zones(std::string_view text);
// kInvalid unless it can be part of the names of files and namespaces.
Result<void> check_name(std::string_view name);
// kInvalid unless name and sizes are usable.
Result<void> check_cluster(const Cluster& cluster);

std::string to_json(const Cluster& cluster);
Result<Cluster> parse_cluster(std::string_view json);

}  // namespace weir::local
