// Services as wanted -> Services as they are: what they do not ask for is kept from before, or
// chosen. A choice begins at a place that follows from the Service's name, so that the same
// manifests have the same addresses in every cluster.

#include "local/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "local/naming.h"

namespace weir::local {
namespace {

// As in Kubernetes, the beginning of a range is left to those who ask for an address.
constexpr std::uint64_t kReservedAddresses = 256;
constexpr std::uint16_t kReservedPorts = 86;

const Cidr* range_of(const std::vector<Cidr>& ranges, Family family) {
  const auto found = std::ranges::find(ranges, family, &Cidr::family);
  return found == ranges.end() ? nullptr : &*found;
}

const char* family_name(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }

Family other(Family family) { return family == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4; }

bool has_cluster_ips(const Service& service) {
  return service.type != ServiceType::kExternalName && !service.headless;
}

bool wants_node_ports(const Service& service) {
  return service.type == ServiceType::kNodePort ||
         (service.type == ServiceType::kLoadBalancer && service.allocate_node_ports);
}

bool may_have_node_ports(const Service& service) {
  return service.type == ServiceType::kNodePort || service.type == ServiceType::kLoadBalancer;
}

bool wants_health_check(const Service& service) {
  return service.type == ServiceType::kLoadBalancer &&
         service.external_policy == TrafficPolicy::kLocal;
}

bool asks(const ServiceManifest& manifest) {
  const auto& service = manifest.service;
  return !service.cluster_ips.empty() || service.health_check_port != 0 || manifest.balancer_ip ||
         !service.ingress.empty() ||
         std::ranges::any_of(service.ports, [](const auto& port) { return port.node_port != 0; });
}

// What the fields that were not said keep from before.
void keep_ports(Service& now, const Service& before) {
  std::set<std::uint16_t> used;
  for (const auto& port : now.ports) used.insert(port.node_port);
  for (auto& port : now.ports) {
    if (port.node_port != 0) continue;
    const auto old = std::ranges::find_if(before.ports, [&port](const ServicePort& candidate) {
      return candidate.name == port.name && candidate.protocol == port.protocol;
    });
    if (old != before.ports.end() && !used.contains(old->node_port))
      port.node_port = old->node_port;
  }
}

void keep(ServiceManifest& now, const ServiceManifest& before) {
  auto& service = now.service;
  const auto& old = before.service;
  service.created = old.created;
  if (!now.family_policy) now.family_policy = before.family_policy;
  if (service.families.empty()) service.families = old.families;
  const bool both =
      service.type != ServiceType::kExternalName && old.type != ServiceType::kExternalName;
  if (both && service.cluster_ips.empty() && !service.headless) {
    service.cluster_ips = old.cluster_ips;
    service.headless = old.headless;
  }
  if (wants_node_ports(service) && wants_node_ports(old)) keep_ports(service, old);
  if (service.health_check_port == 0) service.health_check_port = old.health_check_port;
  if (service.ingress.empty() && !now.balancer_ip) service.ingress = old.ingress;
}

class Allocator {
 public:
  Allocator(const ServiceRanges& ranges, const std::vector<ServiceManifest>& existing)
      : ranges_(ranges) {
    for (const auto& manifest : existing) add(manifest);
  }

  Result<void> allocate(ServiceManifest& manifest, const ServiceManifest* before,
                        std::int64_t now) {
    const bool said_families = !manifest.service.families.empty();
    manifest.service.created = now;
    if (before != nullptr) {
      WEIR_TRY(check_change(manifest, *before));
      keep(manifest, *before);
      release(before->meta.key());
    }
    WEIR_TRY(choose_families(manifest, said_families));
    WEIR_TRY(give_cluster_ips(manifest));
    WEIR_TRY(give_node_ports(manifest));
    WEIR_TRY(give_balancer_ips(manifest));
    return {};
  }

 private:
  static Error refused(const ServiceManifest& manifest, const std::string& why) {
    return Error(Code::kInvalid,
                 fmt::format("Service {}: {}", manifest.meta.key().to_string(), why));
  }

  void add(const ServiceManifest& manifest) {
    const auto& service = manifest.service;
    const auto key = manifest.meta.key();
    for (const auto& address : service.cluster_ips) addresses_.emplace(address, key);
    for (const auto& ingress : service.ingress) addresses_.emplace(ingress.address, key);
    for (const auto& port : service.ports) ports_.emplace(port.node_port, key);
    ports_.emplace(service.health_check_port, key);
  }

  void release(const ObjectKey& key) {
    const auto is_its = [&key](const auto& entry) { return entry.second == key; };
    std::erase_if(addresses_, is_its);
    std::erase_if(ports_, is_its);
  }

  static Result<void> check_change(const ServiceManifest& now, const ServiceManifest& before) {
    const auto& old = before.service;
    const auto& service = now.service;
    if (!has_cluster_ips(old) && !old.headless) return {};
    if (service.type == ServiceType::kExternalName) return {};
    const auto name = [](const Service& s) {
      return s.headless ? std::string("None") : s.cluster_ips.front().to_string();
    };
    const bool said = service.headless || !service.cluster_ips.empty();
    if (said && name(service) != name(old)) {
      return refused(now, fmt::format("clusterIP {} cannot become {}: delete the Service first",
                                      name(old), name(service)));
    }
    if (!service.families.empty() && !old.families.empty() &&
        service.families.front() != old.families.front()) {
      return refused(now, "the first of ipFamilies cannot change: delete the Service first");
    }
    return {};
  }

  Result<void> choose_families(ServiceManifest& manifest, bool said) const {
    auto& service = manifest.service;
    if (service.type == ServiceType::kExternalName) {
      service.families.clear();
      manifest.family_policy.reset();
      return {};
    }
    const auto first = ranges_.cluster_ips.front().family();
    if (service.headless && service.selector.empty() && !manifest.family_policy && !said) {
      service.families = {first, other(first)};
      manifest.family_policy = FamilyPolicy::kRequireDualStack;
      return {};
    }
    for (const auto& address :
         service.families.empty() ? service.cluster_ips : std::vector<Address>()) {
      service.families.push_back(address.family());
      said = true;
    }
    const auto policy = manifest.family_policy.value_or(FamilyPolicy::kSingleStack);
    if (service.families.size() > 1 && policy == FamilyPolicy::kSingleStack) {
      if (said) {
        return refused(manifest,
                       "two families want ipFamilyPolicy PreferDualStack or RequireDualStack");
      }
      service.families.resize(1);
    }
    if (service.families.empty()) service.families = {first};
    const bool dual = policy != FamilyPolicy::kSingleStack;
    const auto second = other(service.families.front());
    if (dual && service.families.size() == 1 && range_of(ranges_.cluster_ips, second) != nullptr) {
      service.families.push_back(second);
    }
    return check_families(manifest, policy);
  }

  Result<void> check_families(const ServiceManifest& manifest, FamilyPolicy policy) const {
    const auto& families = manifest.service.families;
    for (const auto family : families) {
      if (range_of(ranges_.cluster_ips, family) != nullptr) continue;
      return refused(manifest, fmt::format("this cluster has no {}: see `weir up --family`",
                                           family_name(family)));
    }
    if (families.size() == 2 && families[0] == families[1]) {
      return refused(manifest, "ipFamilies has one family twice");
    }
    if (policy == FamilyPolicy::kRequireDualStack && families.size() < 2) {
      return refused(manifest,
                     "ipFamilyPolicy RequireDualStack: this cluster has one family only: see "
                     "`weir up --family`");
    }
    return {};
  }

  Result<void> give_cluster_ips(ServiceManifest& manifest) {
    auto& service = manifest.service;
    if (!has_cluster_ips(service)) {
      service.cluster_ips.clear();
      return {};
    }
    auto& addresses = service.cluster_ips;
    addresses.resize(std::min(addresses.size(), service.families.size()));
    for (std::size_t i = 0; i < service.families.size(); ++i) {
      const auto family = service.families[i];
      const auto& range = *range_of(ranges_.cluster_ips, family);
      if (i == addresses.size()) {
        const auto chosen = choose(range, kReservedAddresses, manifest.meta.key());
        if (!chosen) return refused(manifest, fmt::format("{} is full", range.to_string()));
        addresses.push_back(*chosen);
      } else if (addresses[i].family() != family) {
        return refused(manifest, fmt::format("clusterIP {} is not of its family, which is {}",
                                             addresses[i].to_string(), family_name(family)));
      }
      WEIR_TRY(claim(manifest, "clusterIP", addresses[i], range));
    }
    return {};
  }

  // The range's first and, of IPv4, last address are nobody's.
  static bool is_usable(const Address& address, const Cidr& range) {
    if (!range.contains(address) || address == range.address()) return false;
    return range.family() == Family::kIpv6 || address != range.address().plus(range.size() - 1);
  }

  Result<void> claim(const ServiceManifest& manifest, const char* what, const Address& address,
                     const Cidr& range) {
    if (!is_usable(address, range)) {
      return refused(manifest, fmt::format("{} {} is not in {}, the cluster's range", what,
                                           address.to_string(), range.to_string()));
    }
    return take(manifest, what, address);
  }

  Result<void> take(const ServiceManifest& manifest, const char* what, const Address& address) {
    const auto [entry, free] = addresses_.emplace(address, manifest.meta.key());
    if (free) return {};
    return refused(manifest, fmt::format("{} {} is taken by Service {}", what, address.to_string(),
                                         entry->second.to_string()));
  }

  std::optional<Address> choose(const Cidr& range, std::uint64_t reserved,
                                const ObjectKey& key) const {
    const auto size = std::min<std::uint64_t>(range.size(), 1U << 20);
    const auto first = reserved < size ? reserved : 0;
    const auto begin = hash_text(key.to_string());
    for (const auto& [from, count] :
         {std::pair{first, size - first}, std::pair{std::uint64_t{0}, first}}) {
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto address = range.address().plus(from + (begin + i) % count);
        if (is_usable(address, range) && !addresses_.contains(address)) return address;
      }
    }
    return std::nullopt;
  }

  Result<void> give_node_ports(ServiceManifest& manifest) {
    auto& service = manifest.service;
    WEIR_TRY(check_node_ports(manifest));
    // One port number with two protocols has one nodePort.
    std::map<std::uint16_t, std::uint16_t> by_port;
    for (auto& port : service.ports) {
      if (port.node_port == 0) continue;
      by_port.emplace(port.port, port.node_port);
      WEIR_TRY(claim_port(manifest, "nodePort", port.node_port));
    }
    for (auto& port : service.ports) {
      if (port.node_port != 0 || !wants_node_ports(service)) continue;
      if (const auto same = by_port.find(port.port); same != by_port.end()) {
        port.node_port = same->second;
        continue;
      }
      WEIR_ASSIGN(port.node_port, choose_port(manifest, port.name));
      by_port.emplace(port.port, port.node_port);
    }
    return give_health_check(manifest);
  }

  static Result<void> check_node_ports(const ServiceManifest& manifest) {
    std::set<std::pair<Protocol, std::uint16_t>> own;
    for (const auto& port : manifest.service.ports) {
      if (port.node_port == 0) continue;
      if (!may_have_node_ports(manifest.service)) {
        return refused(manifest,
                       fmt::format("nodePort {}: a Service of type {} has none", port.node_port,
                                   service_type_name(manifest.service.type)));
      }
      if (!own.emplace(port.protocol, port.node_port).second) {
        return refused(manifest, fmt::format("nodePort {} is there twice", port.node_port));
      }
    }
    return {};
  }

  Result<void> give_health_check(ServiceManifest& manifest) {
    auto& service = manifest.service;
    if (!wants_health_check(service)) {
      service.health_check_port = 0;
      return {};
    }
    if (service.health_check_port != 0) {
      if (ports_.contains(service.health_check_port)) {
        return port_taken(manifest, "healthCheckNodePort", service.health_check_port);
      }
      return claim_port(manifest, "healthCheckNodePort", service.health_check_port);
    }
    WEIR_ASSIGN(service.health_check_port, choose_port(manifest, "healthCheckNodePort"));
    return {};
  }

  Error port_taken(const ServiceManifest& manifest, const char* what, std::uint16_t port) const {
    return refused(manifest, fmt::format("{} {} is taken by Service {}", what, port,
                                         ports_.at(port).to_string()));
  }

  Result<void> claim_port(const ServiceManifest& manifest, const char* what, std::uint16_t port) {
    if (port < ranges_.first_node_port || port > ranges_.last_node_port) {
      return refused(manifest, fmt::format("{} {} is not in {}-{}, the cluster's range", what, port,
                                           ranges_.first_node_port, ranges_.last_node_port));
    }
    const auto [entry, free] = ports_.emplace(port, manifest.meta.key());
    if (free || entry->second == manifest.meta.key()) return {};
    return port_taken(manifest, what, port);
  }

  Result<std::uint16_t> choose_port(const ServiceManifest& manifest, const std::string& name) {
    const auto first = ranges_.first_node_port + kReservedPorts;
    const auto count = static_cast<std::uint64_t>(ranges_.last_node_port - first + 1);
    const auto begin = hash_text(fmt::format("{}:{}", manifest.meta.key().to_string(), name));
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto port = static_cast<std::uint16_t>(first + (begin + i) % count);
      if (ports_.emplace(port, manifest.meta.key()).second) return port;
    }
    return refused(manifest, "no nodePort is free");
  }

  Result<void> give_balancer_ips(ServiceManifest& manifest) {
    auto& service = manifest.service;
    if (service.type != ServiceType::kLoadBalancer) {
      service.ingress.clear();
      return {};
    }
    std::erase_if(service.ingress, [&service](const Ingress& ingress) {
      return std::ranges::find(service.families, ingress.address.family()) ==
             service.families.end();
    });
    for (const auto& ingress : service.ingress) {
      // Somebody else's balancer may have any address.
      WEIR_TRY(take(manifest, "the load balancer's address", ingress.address));
    }
    for (const auto family : service.families) {
      const auto& range = *range_of(ranges_.balancer_ips, family);
      const bool there = std::ranges::any_of(service.ingress, [family](const Ingress& ingress) {
        return ingress.address.family() == family;
      });
      if (there) continue;
      const bool asked = manifest.balancer_ip && manifest.balancer_ip->family() == family;
      const auto address = asked ? manifest.balancer_ip : choose(range, 0, manifest.meta.key());
      if (!address) return refused(manifest, fmt::format("{} is full", range.to_string()));
      WEIR_TRY(claim(manifest, "loadBalancerIP", *address, range));
      service.ingress.push_back({*address, false});
    }
    return {};
  }

  const ServiceRanges& ranges_;
  std::map<Address, ObjectKey> addresses_;
  std::map<std::uint16_t, ObjectKey> ports_;  // 0: nobody's
};

}  // namespace

ServiceRanges service_ranges(const Cluster& cluster) {
  return {.cluster_ips = service_cidrs(cluster), .balancer_ips = balancer_cidrs(cluster)};
}

Result<std::vector<ServiceManifest>> allocate_services(const ServiceRanges& ranges,
                                                       const std::vector<ServiceManifest>& existing,
                                                       std::vector<ServiceManifest> wanted,
                                                       std::int64_t now) {
  Allocator allocator(ranges, existing);
  // Who asks for something comes before those who take what is left.
  for (const bool asking : {true, false}) {
    for (auto& manifest : wanted) {
      if (asks(manifest) != asking) continue;
      const auto before = std::ranges::find(existing, manifest.meta.key(),
                                            [](const auto& m) { return m.meta.key(); });
      WEIR_TRY(allocator.allocate(manifest, before == existing.end() ? nullptr : &*before, now));
    }
  }
  return wanted;
}

}  // namespace weir::local
