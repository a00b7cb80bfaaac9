// Nodes and this host's addresses -> weir_route, and the kernel's own routes to other nodes' pods.
// Where two claims meet on one prefix, the first in this order wins: this host, this node's pod
// ranges, other nodes' addresses, other nodes' pod ranges, Services, what is not masqueraded; among
// nodes the lower name. So a node never hands its own pods or itself to another.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "compile/passes.h"
#include "compile/ranges.h"

namespace weir {
namespace {

bool is_loopback(const Address& address) {
  static const Cidr v4 = *Cidr::parse("127.0.0.0/8");
  static const Cidr v6 = *Cidr::parse("::1/128");
  return v4.contains(address) || v6.contains(address);
}

bool is_link_local(const Address& address) {
  static const Cidr v4 = *Cidr::parse("169.254.0.0/16");
  static const Cidr v6 = *Cidr::parse("fe80::/10");
  return v4.contains(address) || v6.contains(address);
}

Cidr host_cidr(const Address& address) { return {address, address.is_v4() ? 32 : 128}; }

std::optional<Address> first_of(const Node& node, Family family) {
  const auto it = std::ranges::find(node.addresses, family, &Address::family);
  if (it == node.addresses.end()) return std::nullopt;
  return *it;
}

// 32 bits of the name, so that an index depends on no history; the rare clash moves the later name.
std::map<std::string, std::uint32_t> node_indexes(const Snapshot& snapshot) {
  std::map<std::string, std::uint32_t> out;
  std::set<std::uint32_t> used{0};
  for (const auto& [key, node] : snapshot.nodes) {
    std::uint32_t index = 2166136261U;
    for (const char c : node.name) {
      index = (index ^ static_cast<std::uint8_t>(c)) * 16777619U;
    }
    while (!used.insert(index).second) ++index;
    out[node.name] = index;
  }
  return out;
}

class Routes {
 public:
  Routes(const Snapshot& snapshot, const NodeConfig& config, Compiled& out)
      : snapshot_(snapshot), config_(config), out_(out), indexes_(node_indexes(snapshot)) {}

  void run() {
    const auto own = snapshot_.nodes.find({"", config_.name});
    const Node nobody{.name = config_.name, .addresses = {}, .pod_cidrs = {}};
    if (own == snapshot_.nodes.end()) {
      report(
          fmt::format("node {}: no Node object of this name, and this is that node", config_.name));
    }
    add_own(own == snapshot_.nodes.end() ? nobody : own->second);
    for (const auto& [key, node] : snapshot_.nodes) {
      if (node.name != config_.name) add_addresses(node);
    }
    for (const auto& [key, node] : snapshot_.nodes) {
      if (node.name != config_.name) add_pod_ranges(node);
    }
    for (const Cidr& cidr : config_.service_cidrs) add_services(cidr);
    add_non_masqueraded();
    report_overlaps();
  }

 private:
  void add_own(const Node& own) {
    std::set<Address> addresses(config_.addresses.begin(), config_.addresses.end());
    addresses.insert(own.addresses.begin(), own.addresses.end());
    std::erase_if(addresses, is_loopback);
    for (const Address& address : addresses) {
      add(host_cidr(address), WEIR_ROUTE_HOST, Address(), own.name);
      if (!is_link_local(address)) families_.insert(address.family());
    }
    for (const Cidr& cidr : own.pod_cidrs) {
      if (usable(cidr, own)) add(cidr, WEIR_ROUTE_LOCAL_PODS, Address(), own.name);
    }
  }

  // The node's end of tunnels, the same for both families inside: IPv4 if both nodes have it.
  std::optional<Address> tunnel_end(const Node& node) const {
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      if (families_.contains(family)) {
        if (const auto address = first_of(node, family)) return address;
      }
    }
    return std::nullopt;
  }

  void add_addresses(const Node& node) {
    const auto end = tunnel_end(node);
    if (config_.tunnel && !end && !node.addresses.empty()) {
      report(fmt::format("node {}: has no address of a family that this node has", node.name));
    }
    for (const Address& address : node.addresses) {
      const Address via = config_.tunnel ? end.value_or(Address()) : address;
      add(host_cidr(address), WEIR_ROUTE_NODE, via, node.name);
    }
  }

  // A range without a way to its node keeps an entry without address: its packets are dropped, not
  // sent into the world.
  void add_pod_ranges(const Node& node) {
    for (const Cidr& cidr : node.pod_cidrs) {
      if (!usable(cidr, node)) continue;
      const auto via = config_.tunnel ? tunnel_end(node) : first_of(node, cidr.family());
      if (!via) {
        report(fmt::format("node {}: no way to its pod range {}: {}", node.name, cidr.to_string(),
                           config_.tunnel ? "it has no address of a family that this node has"
                                          : "it has no address of that family"));
      }
      const bool added = add(cidr, WEIR_ROUTE_PODS, via.value_or(Address()), node.name);
      if (!added || !via) continue;
      const auto how = config_.tunnel ? NodeRoute::Via::kTunnel : NodeRoute::Via::kNextHop;
      out_.entries.kernel_routes[cidr] = {
          .via = how, .node = *via, .mtu = path_mtu(*via, cidr.family())};
    }
  }

  // Less than its least is of no use to IPv6.
  std::uint16_t path_mtu(const Address& node, Family family) const {
    constexpr std::uint16_t kLeastIpv6 = 1280;
    const auto found = config_.path_mtus.find(node);
    if (found == config_.path_mtus.end()) return 0;
    return family == Family::kIpv4 ? found->second : std::max(found->second, kLeastIpv6);
  }

  void add_services(const Cidr& cidr) {
    const auto owner = owners_.find(cidr);
    if (is_too_wide(cidr)) {
      report(fmt::format("Service range {} is too wide; it is ignored", cidr.to_string()));
    } else if (owner != owners_.end()) {
      report(fmt::format("Service range {} is also a range of node {}, which keeps it",
                         cidr.to_string(), owner->second.node));
    } else {
      weir_route route{};
      route.kind = WEIR_ROUTE_SERVICES;
      out_.entries.routes[cidr] = route;
    }
  }

  // What lies inside a range of the cluster is not masqueraded anyway, and keeps its kind.
  void add_non_masqueraded() {
    std::vector<Cidr> outside = config_.non_masquerade_cidrs;
    std::erase_if(outside, [this](const Cidr& cidr) {
      return std::ranges::any_of(out_.entries.routes, [&cidr](const auto& row) {
        return row.first.mapped_bits() <= cidr.mapped_bits() && row.first.contains(cidr.address());
      });
    });
    weir_route route{};
    route.kind = WEIR_ROUTE_OUTSIDE;
    // In the table, IPv4 is a part of IPv6.
    if (std::ranges::any_of(outside, holds_mapped_space)) {
      out_.entries.routes[{Address::v4(0), 0}] = route;
    }
    route.flags = WEIR_ROUTE_KEEP_SOURCE;
    for (const Cidr& cidr : outside) out_.entries.routes[cidr] = route;
  }

  bool usable(const Cidr& cidr, const Node& node) {
    if (is_too_wide(cidr)) {
      report(fmt::format("node {}: pod range {} is too wide; it is ignored", node.name,
                         cidr.to_string()));
      return false;
    }
    return true;
  }

  // False: another has the prefix, or the same node has it already.
  bool add(const Cidr& cidr, weir_route_kind kind, const Address& via, const std::string& node) {
    const auto [owner, is_new] = owners_.try_emplace(cidr, Owner{node, kind});
    if (!is_new) {
      if (owner->second.node != node) {
        report(fmt::format("{} belongs to nodes {} and {}; it goes to {}", cidr.to_string(),
                           owner->second.node, node, owner->second.node));
      }
      return false;
    }
    weir_route route{};
    route.node_addr = to_abi(via);
    const auto index = indexes_.find(node);
    route.node = index == indexes_.end() ? 0 : index->second;
    route.kind = static_cast<std::uint8_t>(kind);
    route.mtu = path_mtu(via, cidr.family());
    out_.entries.routes[cidr] = route;
    return true;
  }

  // A pod range inside another node's: the longer prefix has its addresses, as in every route
  // table.
  void report_overlaps() {
    std::vector<std::pair<Cidr, std::string>> around;  // each inside the one before
    for (const auto& [cidr, owner] : owners_) {
      if (owner.kind != WEIR_ROUTE_PODS && owner.kind != WEIR_ROUTE_LOCAL_PODS) continue;
      while (!around.empty() && !around.back().first.contains(cidr.address())) around.pop_back();
      if (!around.empty() && around.back().second != owner.node) {
        report(fmt::format("pod range {} of node {} lies inside {} of node {}; {} has it",
                           cidr.to_string(), owner.node, around.back().first.to_string(),
                           around.back().second, owner.node));
      }
      around.emplace_back(cidr, owner.node);
    }
  }

  void report(std::string text) { out_.conflicts.push_back(std::move(text)); }

  struct Owner {
    std::string node;
    weir_route_kind kind;
  };
  const Snapshot& snapshot_;
  const NodeConfig& config_;
  Compiled& out_;
  std::map<std::string, std::uint32_t> indexes_;
  std::map<Cidr, Owner> owners_;
  std::set<Family> families_;  // of this node's own addresses
};

}  // namespace

void routes(const Snapshot& snapshot, const NodeConfig& config, Compiled& out) {
  Routes(snapshot, config, out).run();
}

}  // namespace weir
