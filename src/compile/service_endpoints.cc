// EndpointSlices of a Service -> which endpoints serve a port on this node: as kube-proxy's
// pkg/proxy/topology.go (CategorizeEndpoints) and endpointslicecache.go decide.
#include "compile/service_endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

namespace weir {
namespace {

enum class Topology : std::uint8_t { kNone, kSameZone, kSameNode };

using Endpoints = std::vector<PortEndpoint>;
using Use = EndpointUse PortEndpoint::*;

bool has(const std::vector<std::string>& hints, const std::string& name) {
  return std::ranges::find(hints, name) != hints.end();
}

// Of those with one address and port, the first stands: an address may be given to a new pod while
// the old one still terminates, and an endpoint may move from slice to slice.
bool in_order(const PortEndpoint& a, const PortEndpoint& b) {
  const auto rank = [](const PortEndpoint& e) {
    return std::tuple(!e.ready, e.from->terminating, !e.from->serving, !e.this_node);
  };
  if (const auto order = std::tie(a.address, a.port) <=> std::tie(b.address, b.port); order != 0) {
    return order < 0;
  }
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  if (a.slice != b.slice) return a.slice->name < b.slice->name;
  return a.from < b.from;
}

bool same_place(const PortEndpoint& a, const PortEndpoint& b) {
  return a.address == b.address && a.port == b.port;
}

// Hints count only if every ready endpoint has them and one of them is for this node or its zone.
Topology topology_of(const Endpoints& endpoints, const ServiceContext& context) {
  bool any = false;
  bool all_have_nodes = true;
  bool all_have_zones = true;
  bool for_node = false;
  bool for_zone = false;
  for (const PortEndpoint& endpoint : endpoints) {
    if (!endpoint.ready) continue;
    any = true;
    all_have_nodes = all_have_nodes && !endpoint.from->hinted_nodes.empty();
    all_have_zones = all_have_zones && !endpoint.from->hinted_zones.empty();
    for_node = for_node || has(endpoint.from->hinted_nodes, context.node);
    for_zone = for_zone || has(endpoint.from->hinted_zones, context.zone);
  }
  if (any && all_have_nodes && for_node) return Topology::kSameNode;
  if (any && all_have_zones && for_zone) return Topology::kSameZone;
  return Topology::kNone;
}

EndpointUse use_in_topology(const PortEndpoint& endpoint, Topology topology,
                            const ServiceContext& context) {
  switch (topology) {
    case Topology::kNone:
      return EndpointUse::kServes;
    case Topology::kSameNode:
      return has(endpoint.from->hinted_nodes, context.node) ? EndpointUse::kServes
                                                            : EndpointUse::kOtherNode;
    case Topology::kSameZone:
      return has(endpoint.from->hinted_zones, context.zone) ? EndpointUse::kServes
                                                            : EndpointUse::kOtherZone;
  }
  return EndpointUse::kServes;
}

EndpointUse use_of_unready(const PortEndpoint& endpoint, bool others_ready) {
  if (!endpoint.draining) return EndpointUse::kNotReady;
  return others_ready ? EndpointUse::kTerminating : EndpointUse::kServes;
}

void decide_cluster(Endpoints& endpoints, const ServiceContext& context) {
  const bool ready = std::ranges::any_of(endpoints, &PortEndpoint::ready);
  const Topology topology = topology_of(endpoints, context);
  for (PortEndpoint& endpoint : endpoints) {
    endpoint.cluster = endpoint.ready ? use_in_topology(endpoint, topology, context)
                                      : use_of_unready(endpoint, ready);
  }
}

void decide_local(Endpoints& endpoints, bool own_ready) {
  for (PortEndpoint& endpoint : endpoints) {
    if (!endpoint.this_node) {
      endpoint.local = EndpointUse::kOtherNode;
    } else {
      endpoint.local = endpoint.ready ? EndpointUse::kServes : use_of_unready(endpoint, own_ready);
    }
  }
}

// Weight 0 means no share while others have one; among zeros all are equal.
void decide_weights(Endpoints& endpoints, Use use) {
  const auto serves = [use](const PortEndpoint& e) { return e.*use == EndpointUse::kServes; };
  const bool weighted = std::ranges::any_of(
      endpoints, [&serves](const PortEndpoint& e) { return serves(e) && e.weight > 0; });
  if (!weighted) return;
  for (PortEndpoint& endpoint : endpoints) {
    if (serves(endpoint) && endpoint.weight == 0) endpoint.*use = EndpointUse::kNoWeight;
  }
}

std::vector<ServiceBackend> backends(const Endpoints& endpoints, Use use) {
  std::vector<ServiceBackend> out;
  std::uint32_t divisor = 0;
  for (const PortEndpoint& endpoint : endpoints) {
    if (endpoint.*use != EndpointUse::kServes) continue;
    const std::uint32_t weight = std::max(endpoint.weight, 1U);
    divisor = std::gcd(divisor, weight);
    out.push_back({endpoint.address, endpoint.port, endpoint.this_node, weight});
  }
  for (ServiceBackend& backend : out) backend.weight /= divisor;
  return out;
}

class Collector {
 public:
  Collector(const Service& service, const ServiceContext& context)
      : service_(service), context_(context) {}

  void add(const EndpointSlice& slice, std::uint16_t port) {
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (endpoint.addresses.empty()) continue;
      if (!is_endpoint_address(endpoint.addresses.front(), slice.family)) continue;
      PortEndpoint& added = out.emplace_back();
      added.address = endpoint.addresses.front();
      added.port = port;
      added.ready = endpoint.ready || service_.publish_not_ready;
      added.draining = !added.ready && endpoint.serving && endpoint.terminating;
      added.this_node = !context_.node.empty() && endpoint.node == context_.node;
      added.from = &endpoint;
      added.slice = &slice;
      if (context_.weight && !endpoint.pod.empty()) {
        added.weight = context_.weight({slice.namespace_, endpoint.pod});
      }
    }
  }

  Endpoints out;

 private:
  const Service& service_;
  const ServiceContext& context_;
};

bool is_usable(const SliceEndpoint& endpoint, Family family) {
  return !endpoint.addresses.empty() && is_endpoint_address(endpoint.addresses.front(), family);
}

}  // namespace

std::vector<ServiceBackend> PortEndpoints::cluster() const {
  return backends(all, &PortEndpoint::cluster);
}

std::vector<ServiceBackend> PortEndpoints::local() const {
  return backends(all, &PortEndpoint::local);
}

bool is_endpoint_address(const Address& address, Family family) {
  static const Cidr refused[] = {*Cidr::parse("0.0.0.0/8"),      *Cidr::parse("127.0.0.0/8"),
                                 *Cidr::parse("169.254.0.0/16"), *Cidr::parse("224.0.0.0/3"),
                                 *Cidr::parse("::/127"),         *Cidr::parse("fe80::/10"),
                                 *Cidr::parse("ff00::/8")};
  return address.family() == family && std::ranges::none_of(refused, [&](const Cidr& cidr) {
           return cidr.family() == family && cidr.contains(address);
         });
}

PortEndpoints endpoints_of(const Service& service, const ServicePort& port, Family family,
                           std::span<const EndpointSlice> slices, const ServiceContext& context) {
  Collector found(service, context);
  for (const EndpointSlice& slice : slices) {
    if (slice.family != family) continue;
    for (const SlicePort& offered : slice.ports) {
      if (offered.port != 0 && offered.name == port.name && offered.protocol == port.protocol) {
        found.add(slice, offered.port);
      }
    }
  }
  PortEndpoints out{.all = std::move(found.out)};
  std::ranges::sort(out.all, in_order);
  out.all.erase(std::unique(out.all.begin(), out.all.end(), same_place), out.all.end());
  for (const PortEndpoint& endpoint : out.all) {
    out.any = out.any || endpoint.ready || endpoint.draining;
    out.own_ready = out.own_ready || (endpoint.ready && endpoint.this_node);
  }
  decide_cluster(out.all, context);
  decide_local(out.all, out.own_ready);
  decide_weights(out.all, &PortEndpoint::cluster);
  decide_weights(out.all, &PortEndpoint::local);
  return out;
}

void check_slices(const Service& service, std::span<const EndpointSlice> slices,
                  std::vector<std::string>& complaints) {
  const auto complain = [&](const EndpointSlice& slice, const std::string& what) {
    complaints.push_back(fmt::format("service {}: EndpointSlice {} has {}; not used",
                                     service.key().to_string(), slice.name, what));
  };
  for (const EndpointSlice& slice : slices) {
    const auto unusable = std::ranges::count_if(slice.endpoints, [&slice](const auto& endpoint) {
      return !is_usable(endpoint, slice.family);
    });
    if (unusable > 0) {
      complain(slice, fmt::format("{} endpoints without an address of its family that a pod can "
                                  "have",
                                  unusable));
    }
    for (const SlicePort& port : slice.ports) {
      if (port.port == 0) complain(slice, fmt::format("port '{}' without a number", port.name));
    }
  }
}

std::uint32_t count_ready_here(const Service& service, std::span<const EndpointSlice> slices,
                               const std::string& node) {
  std::set<Address> here[2];
  for (const EndpointSlice& slice : slices) {
    if (std::ranges::none_of(slice.ports, [](const auto& port) { return port.port != 0; }))
      continue;
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      const bool ready = endpoint.ready || service.publish_not_ready;
      if (!ready || endpoint.node != node || !is_usable(endpoint, slice.family)) continue;
      here[slice.family == Family::kIpv4 ? 0 : 1].insert(endpoint.addresses.front());
    }
  }
  return static_cast<std::uint32_t>(std::max(here[0].size(), here[1].size()));
}

}  // namespace weir
