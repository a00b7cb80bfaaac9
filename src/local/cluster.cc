#include "local/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace weir::local {
namespace {

Address known_address(const char* text) { return *Address::parse(text); }

Cidr pod_cidr(const char* first, std::uint64_t step, std::uint64_t index, int bits) {
  return {known_address(first).plus(step * index), bits};
}

// 10.244.I.0/24 and fd00:244:0:I::/64: the index is in the fourth group of the IPv6 range, beyond
// what plus() counts.
std::vector<Cidr> pod_cidrs(const Cluster& cluster, std::uint64_t index) {
  std::vector<Cidr> cidrs;
  if (cluster.ipv4()) cidrs.push_back(pod_cidr("10.244.0.0", 256, index, 24));
  if (cluster.ipv6()) {
    cidrs.emplace_back(known_address(fmt::format("fd00:244:0:{:x}::", index).c_str()), 64);
  }
  return cidrs;
}

bool is_name(std::string_view text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !text.empty() && text.size() <= kMaxNameLength && plain(text.front()) &&
         plain(text.back()) &&
         std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '-'; });
}

}  // namespace

std::vector<LocalNode> Cluster::make_nodes() const {
  std::vector<LocalNode> result;
  for (std::uint64_t i = 0; i < nodes; ++i) {
    LocalNode node{fmt::format("n{}", i), {}, pod_cidrs(*this, i), {}};
    if (!zones.empty()) node.zone = zones[i % zones.size()];
    if (ipv4()) node.addresses.push_back(known_address("172.30.0.10").plus(i));
    if (ipv6()) node.addresses.push_back(known_address("fd00:30::a").plus(i));
    result.push_back(std::move(node));
  }
  return result;
}

std::vector<UnderlayAddress> gateway_addresses(const Cluster& cluster) {
  std::vector<UnderlayAddress> result;
  if (cluster.ipv4()) result.push_back({known_address("172.30.0.1"), kUnderlayBits4});
  if (cluster.ipv6()) result.push_back({known_address("fd00:30::1"), kUnderlayBits6});
  return result;
}

std::vector<Address> outside_addresses(const Cluster& cluster) {
  std::vector<Address> result;
  if (cluster.ipv4()) result.push_back(known_address("192.0.2.1"));
  if (cluster.ipv6()) result.push_back(known_address("2001:db8::1"));
  return result;
}

std::vector<Cidr> service_cidrs(const Cluster& cluster) {
  std::vector<Cidr> result;
  if (cluster.ipv4()) result.emplace_back(known_address("10.96.0.0"), 16);
  if (cluster.ipv6()) result.emplace_back(known_address("fd00:96::"), 112);
  return result;
}

std::vector<Cidr> balancer_cidrs(const Cluster& cluster) {
  std::vector<Cidr> result;
  if (cluster.ipv4()) result.emplace_back(known_address("198.51.100.0"), 24);
  if (cluster.ipv6()) result.emplace_back(known_address("2001:db8:100::"), 112);
  return result;
}

Result<std::vector<std::string>> parse_zones(std::string_view text) {
  std::vector<std::string> zones;
  while (!text.empty()) {
    const auto zone = text.substr(0, text.find(','));
    if (!is_name(zone)) {
      return Error(Code::kInvalid,
                   fmt::format("zone '{}': 1 to {} of a-z, 0-9 and '-', '-' only inside", zone,
                               kMaxNameLength));
    }
    zones.emplace_back(zone);
    text.remove_prefix(std::min(zone.size() + 1, text.size()));
  }
  return zones;
}

Result<Families> parse_families(std::string_view text) {
  for (const auto families : {Families::kIpv4, Families::kIpv6, Families::kDual}) {
    if (families_name(families) == text) return families;
  }
  return Error(Code::kInvalid, fmt::format("family '{}': ipv4, ipv6 or dual", text));
}

std::string_view families_name(Families families) {
  switch (families) {
    case Families::kIpv4:
      return "ipv4";
    case Families::kIpv6:
      return "ipv6";
    case Families::kDual:
      return "dual";
  }
  return "?";
}

Result<void> check_name(std::string_view name) {
  if (is_name(name)) return {};
  return Error(Code::kInvalid,
               fmt::format("cluster name '{}': 1 to {} of a-z, 0-9 and '-', '-' only inside", name,
                           kMaxNameLength));
}

Result<void> check_cluster(const Cluster& cluster) {
  WEIR_TRY(check_name(cluster.name));
  if (cluster.nodes < 1 || cluster.nodes > kMaxNodes) {
    return Error(Code::kInvalid, fmt::format("--nodes {}: 1 to {}", cluster.nodes, kMaxNodes));
  }
  return {};
}

std::string to_json(const Cluster& cluster) {
  const nlohmann::json json = {
      {"name", cluster.name},         {"nodes", cluster.nodes},
      {"tunnel", cluster.tunnel},     {"families", families_name(cluster.families)},
      {"agent", cluster.agent},       {"cni", cluster.cni},
      {"programs", cluster.programs}, {"cgroup", cluster.cgroup},
      {"zones", cluster.zones},       {"dns", cluster.dns},
  };
  return json.dump(2) + "\n";
}

Result<Cluster> parse_cluster(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    Cluster cluster;
    cluster.name = json.at("name");
    cluster.nodes = json.at("nodes");
    cluster.tunnel = json.at("tunnel");
    WEIR_ASSIGN(cluster.families, parse_families(json.at("families").get<std::string>()));
    cluster.agent = json.at("agent");
    cluster.cni = json.at("cni");
    cluster.programs = json.at("programs");
    cluster.cgroup = json.at("cgroup");
    cluster.zones = json.at("zones");
    cluster.dns = json.at("dns");
    return cluster;
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, fmt::format("cluster.json: {}", e.what()));
  }
}

}  // namespace weir::local
