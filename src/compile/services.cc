// A Service and its slices, or a pod's hostPorts -> entries of the kernel's Service tables.
#include "compile/services.h"

#include <algorithm>

#include "abi/service.h"
#include "compile/service_endpoints.h"
#include "compile/service_frontends.h"

namespace weir {
namespace {

class ServicePasses {
 public:
  ServicePasses(const Service& service, std::span<const EndpointSlice> slices,
                const ServiceContext& context)
      : service_(service), slices_(slices), context_(context) {}

  void run(const std::vector<Claim>& claims, ServiceChanges& out) const {
    for (const Address& ip : cluster_ips(service_)) {
      for (std::size_t i = 0; i < service_.ports.size(); ++i) {
        add_port(claims, i, ip.family(), out);
      }
    }
  }

 private:
  void add_port(const std::vector<Claim>& claims, std::size_t index, Family family,
                ServiceChanges& out) const {
    const auto mine = [index, family](const Claim& claim) {
      return claim.index == index && claim.address.family() == family;
    };
    if (std::ranges::none_of(claims, mine)) return;
    const ServicePort& port = service_.ports[index];
    ServicePortEntries& entries = out[port_key(service_, port, family)];
    const PortEndpoints endpoints = endpoints_of(service_, port, family, slices_, context_);
    for (const Claim& claim : claims) {
      if (mine(claim)) add_rows(claim, endpoints, entries.frontends);
    }
    std::ranges::sort(entries.frontends);
    if (uses(entries, true) || has_flag(entries, WEIR_SERVICE_DSR)) {
      entries.local = endpoints.local();
    }
    if (uses(entries, false)) entries.cluster = endpoints.cluster();
    entries.affinity_seconds = service_.affinity_seconds;
    entries.source_ranges = source_ranges(family);
    if (!has_flag(entries, WEIR_SERVICE_SOURCE_RANGES)) entries.source_ranges.clear();
  }

  void add_rows(const Claim& claim, const PortEndpoints& endpoints,
                std::vector<ServiceFrontend>& rows) const {
    if (!claim.protocol) {
      rows.push_back({claim.address, 0, WEIR_SCOPE_ANY, WEIR_SERVICE_OTHER_PORTS, false});
    } else if (claim.kind == FrontendKind::kClusterIp) {
      rows.push_back(cluster_ip_row(claim, endpoints));
    } else {
      add_external_rows(claim, endpoints, rows);
    }
  }

  // Traffic policy Local drops what only other nodes could serve; what nobody serves is rejected.
  static std::uint32_t local_flag(const PortEndpoints& endpoints) {
    return endpoints.any ? WEIR_SERVICE_LOCAL : 0;
  }

  ServiceFrontend cluster_ip_row(const Claim& claim, const PortEndpoints& endpoints) const {
    const bool local = service_.internal_policy == TrafficPolicy::kLocal;
    const bool own_first = service_.own_node_first && endpoints.own_ready;
    return {claim.address, claim.port, WEIR_SCOPE_ANY, local ? local_flag(endpoints) : 0,
            local || own_first};
  }

  void add_external_rows(const Claim& claim, const PortEndpoints& endpoints,
                         std::vector<ServiceFrontend>& rows) const {
    const bool local = service_.external_policy == TrafficPolicy::kLocal;
    const bool ranges =
        claim.kind == FrontendKind::kLoadBalancer && !source_ranges(claim.address.family()).empty();
    const std::uint32_t always = ranges ? WEIR_SERVICE_SOURCE_RANGES : 0;
    std::uint32_t flags = always | WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING;
    if (local) {
      flags |= WEIR_SERVICE_TWO_SCOPES | local_flag(endpoints);
      rows.push_back({claim.address, claim.port, WEIR_SCOPE_CLUSTER, always, false});
    } else if (service_.dsr || context_.dsr) {
      flags |= WEIR_SERVICE_DSR;
    }
    rows.push_back({claim.address, claim.port, WEIR_SCOPE_ANY, flags, local});
  }

  std::vector<Cidr> source_ranges(Family family) const {
    std::vector<Cidr> out;
    std::ranges::copy_if(service_.source_ranges, std::back_inserter(out),
                         [family](const Cidr& cidr) { return cidr.family() == family; });
    std::ranges::sort(out);
    const auto repeated = std::ranges::unique(out);
    out.erase(repeated.begin(), repeated.end());
    return out;
  }

  static bool uses(const ServicePortEntries& entries, bool local) {
    return std::ranges::any_of(entries.frontends, [local](const ServiceFrontend& row) {
      return row.local_set == local && (row.flags & WEIR_SERVICE_OTHER_PORTS) == 0;
    });
  }

  static bool has_flag(const ServicePortEntries& entries, std::uint32_t flag) {
    return std::ranges::any_of(entries.frontends,
                               [flag](const auto& row) { return (row.flags & flag) != 0; });
  }

  const Service& service_;
  const std::span<const EndpointSlice> slices_;
  const ServiceContext& context_;
};

EndpointState state_of(const PortEndpoint& endpoint) {
  return {.address = endpoint.address,
          .port = endpoint.port,
          .node = endpoint.from->node,
          .zone = endpoint.from->zone,
          .pod = endpoint.from->pod,
          .ready = endpoint.ready,
          .serving = endpoint.from->serving,
          .terminating = endpoint.from->terminating,
          .weight = endpoint.weight,
          .cluster = endpoint.cluster,
          .local = endpoint.local};
}

EndpointState unusable(const SliceEndpoint& endpoint, EndpointUse why) {
  return {.address = endpoint.addresses.front(),
          .port = 0,
          .node = endpoint.node,
          .zone = endpoint.zone,
          .pod = endpoint.pod,
          .ready = endpoint.ready,
          .serving = endpoint.serving,
          .terminating = endpoint.terminating,
          .weight = 1,
          .cluster = why,
          .local = why};
}

bool has_port(const EndpointSlice& slice, const ServicePort& port) {
  return std::ranges::any_of(slice.ports, [&port](const SlicePort& offered) {
    return offered.port != 0 && offered.name == port.name && offered.protocol == port.protocol;
  });
}

}  // namespace

void compile_claims(const Service& service, const std::vector<Claim>& given,
                    std::span<const EndpointSlice> slices, const ServiceContext& context,
                    ServiceChanges& out) {
  ServicePasses(service, slices, context).run(given, out);
}

void compile_claims(const Pod& pod, const std::vector<Claim>& given, ServiceChanges& out) {
  for (const Claim& claim : given) {
    const HostPort& port = pod.host_ports[claim.index];
    const Family family = claim.address.family();
    ServicePortEntries& entries = out[port_key(pod, port, family)];
    entries.frontends.push_back(
        {claim.address, claim.port, WEIR_SCOPE_ANY,
         WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_LOCAL | WEIR_SERVICE_HOST_PORT, true});
    const auto own = std::ranges::find(pod.addresses, family, &Address::family);
    entries.local = {{*own, port.port, true, 1}};
  }
}

ServiceChanges compile_service(const Service& service, std::span<const EndpointSlice> slices,
                               const ServiceContext& context,
                               std::vector<std::string>& complaints) {
  ServiceChanges out;
  if (!is_served(service)) return out;
  check_slices(service, slices, complaints);
  compile_claims(service, claims_of(service, context.external_ips, &complaints), slices, context,
                 out);
  return out;
}

ServiceChanges compile_host_ports(const Pod& pod) {
  ServiceChanges out;
  compile_claims(pod, claims_of(pod), out);
  return out;
}

std::vector<EndpointState> endpoint_states(const Service& service, const ServicePort& port,
                                           Family family, std::span<const EndpointSlice> slices,
                                           const ServiceContext& context) {
  std::vector<EndpointState> out;
  const PortEndpoints endpoints = endpoints_of(service, port, family, slices, context);
  for (const PortEndpoint& endpoint : endpoints.all) out.push_back(state_of(endpoint));
  for (const EndpointSlice& slice : slices) {
    if (slice.family != family) continue;
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (endpoint.addresses.empty()) continue;
      if (endpoint.addresses.front().family() != family) {
        out.push_back(unusable(endpoint, EndpointUse::kOtherFamily));
      } else if (!has_port(slice, port)) {
        out.push_back(unusable(endpoint, EndpointUse::kNoSuchPort));
      }
    }
  }
  return out;
}

}  // namespace weir
