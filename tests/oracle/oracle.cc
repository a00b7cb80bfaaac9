// Written to be read beside the API's documentation: no index, no state, everything is looked for
// each time it is asked.
#include "oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

namespace weir::oracle {
namespace {

template <typename List, typename Value>
bool has(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

using Ranges = std::vector<Cidr>;

Ranges ranges(std::initializer_list<const char*> texts) {
  Ranges out;
  for (const char* text : texts) out.push_back(*Cidr::parse(text));
  return out;
}

bool is_in(const Address& address, const Ranges& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&address](const Cidr& range) {
    return range.family() == address.family() && range.contains(address);
  });
}

// --- who is addressed ----------------------------------------------------------------------------

// By which of its fields an object wants an address; of several claimants the earlier has it.
enum class By : std::uint8_t { kClusterIp, kIngress, kExternalIp, kHostPort, kNodePort };

struct Claimant {
  By by = By::kClusterIp;
  const Service* service = nullptr;
  const ServicePort* port = nullptr;
  const Pod* pod = nullptr;
  const HostPort* host_port = nullptr;
};

// An address that packets can bear to somewhere else.
bool is_reachable(const Address& a) {
  static const Ranges kNot =
      ranges({"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "ff00::/8"});
  return !is_in(a, kNot);
}

bool is_in_pod_range(const Cluster& cluster, const Address& address) {
  for (const auto& [key, node] : cluster.nodes) {
    if (is_in(address, node.pod_cidrs)) return true;
  }
  return false;
}

bool is_any_nodes(const Cluster& cluster, const Address& address) {
  return std::any_of(cluster.nodes.begin(), cluster.nodes.end(),
                     [&](const auto& node) { return has(node.second.addresses, address); });
}

// kube-proxy serves neither headless Services nor those of type ExternalName, nor those that labels
// give to somebody else.
bool is_proxied(const Service& service) {
  return service.type != ServiceType::kExternalName && !service.headless && !service.other_proxy &&
         !service.cluster_ips.empty();
}

// A Service has one ClusterIP in each of its families; without one it has nothing of that family.
std::optional<Address> cluster_ip(const Service& service, Family family) {
  for (const Address& ip : service.cluster_ips) {
    if (ip.family() == family) return ip;
  }
  return std::nullopt;
}

bool has_ingress(const Service& service, const Address& address) {
  if (service.type != ServiceType::kLoadBalancer) return false;
  return std::any_of(service.ingress.begin(), service.ingress.end(), [&](const Ingress& ingress) {
    return ingress.address == address && !ingress.proxy;
  });
}

// As what the Service may have the address, if at all.
std::optional<By> claim(const Cluster& cluster, const Service& service, const Address& address) {
  const auto own = cluster_ip(service, address.family());
  if (!is_proxied(service) || !own || !is_reachable(address)) return std::nullopt;
  if (is_in_pod_range(cluster, address)) return std::nullopt;
  if (*own == address) {
    if (is_any_nodes(cluster, address)) return std::nullopt;
    return By::kClusterIp;
  }
  if (has_ingress(service, address)) return By::kIngress;
  if (cluster.external_ips && has(service.external_ips, address)) return By::kExternalIp;
  return std::nullopt;
}

void add_address_claimants(const Cluster& cluster, const Question& q, std::vector<Claimant>& out) {
  for (const auto& [key, service] : cluster.services) {
    const auto by = claim(cluster, service, q.destination);
    if (!by) continue;
    for (const ServicePort& port : service.ports) {
      if (port.port != q.port || port.protocol != q.protocol) continue;
      out.push_back({.by = *by, .service = &service, .port = &port});
      break;  // of ports that say the same the first counts
    }
  }
}

void add_node_port_claimants(const Cluster& cluster, const Question& q,
                             std::vector<Claimant>& out) {
  for (const auto& [key, service] : cluster.services) {
    const bool typed =
        service.type == ServiceType::kNodePort || service.type == ServiceType::kLoadBalancer;
    if (!typed || !is_proxied(service) || !cluster_ip(service, q.destination.family())) continue;
    for (const ServicePort& port : service.ports) {
      if (port.port == 0 || port.node_port != q.port || port.protocol != q.protocol) continue;
      out.push_back({.by = By::kNodePort, .service = &service, .port = &port});
      break;
    }
  }
}

std::optional<Address> pod_ip(const Pod& pod, Family family) {
  for (const Address& address : pod.addresses) {
    if (address.family() == family) return address;
  }
  return std::nullopt;
}

// any_address: the hostPorts of all of the node's addresses; else those of this one alone.
void add_host_port_claimants(const Cluster& cluster, const Question& q, bool any_address,
                             std::vector<Claimant>& out) {
  const Family family = q.destination.family();
  for (const auto& [key, pod] : cluster.pods) {
    const bool over = pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed;
    if (pod.node != cluster.this_node || pod.host_network || over) continue;
    if (!pod_ip(pod, family)) continue;
    for (const HostPort& port : pod.host_ports) {
      const bool all =
          port.host_ip == Address() || (port.host_ip == Address::v4(0) && family == Family::kIpv4);
      const bool here = any_address ? all : !all && port.host_ip == q.destination;
      if (!here || port.port == 0 || port.host_port == 0) continue;
      if (port.host_port != q.port || port.protocol != q.protocol) continue;
      out.push_back({.by = By::kHostPort, .pod = &pod, .host_port = &port});
      break;
    }
  }
}

// The older Service wins, then the first by name; of pods one that is not about to end.
bool precedes(const Claimant& a, const Claimant& b) {
  if (a.by != b.by) return a.by < b.by;
  if (a.pod != nullptr) {
    return std::tuple(a.pod->terminating, a.pod->key()) <
           std::tuple(b.pod->terminating, b.pod->key());
  }
  const auto born = [](const Service& service) {
    return service.created != 0 ? service.created : std::numeric_limits<std::int64_t>::max();
  };
  return std::tuple(born(*a.service), a.service->key()) <
         std::tuple(born(*b.service), b.service->key());
}

std::optional<Claimant> addressed(const Cluster& cluster, const Question& q) {
  std::vector<Claimant> found;
  add_address_claimants(cluster, q, found);
  add_host_port_claimants(cluster, q, false, found);
  if (found.empty() && cluster.is_this_nodes(q.destination)) {
    add_node_port_claimants(cluster, q, found);
    add_host_port_claimants(cluster, q, true, found);
  }
  if (found.empty()) return std::nullopt;
  return *std::min_element(found.begin(), found.end(), precedes);
}

// "Traffic to an undefined port of a ClusterIP is rejected."
bool is_cluster_ip(const Cluster& cluster, const Address& address) {
  return std::any_of(cluster.services.begin(), cluster.services.end(), [&](const auto& entry) {
    const Service& service = entry.second;
    return claim(cluster, service, address) == By::kClusterIp &&
           std::any_of(service.ports.begin(), service.ports.end(),
                       [](const ServicePort& port) { return port.port != 0; });
  });
}

bool is_in_service_range(const Address& address) {
  static const Ranges kServices = ranges({"10.96.0.0/16", "fd00:96::/112"});
  return is_in(address, kServices);
}

// --- who serves ----------------------------------------------------------------------------------

struct Candidate {
  Address address;
  std::uint16_t port = 0;
  bool ready = false;
  bool draining = false;  // "serving and terminating"
  bool this_node = false;
  std::uint32_t weight = 1;
  const SliceEndpoint* endpoint = nullptr;
};

using Candidates = std::vector<Candidate>;

// The API refuses endpoints that are unspecified, loopback, link-local or multicast.
bool can_be_endpoint(const Address& a) {
  static const Ranges kLinkLocal = ranges({"169.254.0.0/16", "fe80::/10"});
  return is_reachable(a) && !is_in(a, kLinkLocal);
}

std::uint32_t weight_of(const Cluster& cluster, const ObjectKey& pod) {
  const auto found = cluster.pods.find(pod);
  return found == cluster.pods.end() ? 1 : found->second.weight;
}

// One address and port may be told of twice: a pod's successor has its address, or an endpoint
// moves to another slice. Who can serve is believed.
bool is_better(const Candidate& a, const Candidate& b) {
  const auto rank = [](const Candidate& c) {
    return std::tuple(c.ready, !c.endpoint->terminating, c.endpoint->serving, c.this_node);
  };
  return rank(a) > rank(b);
}

void add_candidate(Candidates& out, const Candidate& one) {
  for (Candidate& known : out) {
    if (known.address != one.address || known.port != one.port) continue;
    if (is_better(one, known)) known = one;
    return;
  }
  out.push_back(one);
}

Candidates candidates(const Cluster& cluster, const Service& service, const ServicePort& port,
                      Family family) {
  Candidates out;
  for (const auto& [key, slice] : cluster.slices) {
    if (slice.namespace_ != service.namespace_ || slice.service != service.name) continue;
    if (slice.family != family) continue;
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (endpoint.addresses.empty()) continue;
      const Address& address = endpoint.addresses[0];
      if (address.family() != family || !can_be_endpoint(address)) continue;
      for (const SlicePort& offered : slice.ports) {
        if (offered.name != port.name || offered.protocol != port.protocol) continue;
        if (offered.port == 0) continue;
        const bool ready = endpoint.ready || service.publish_not_ready;
        add_candidate(out, {.address = address,
                            .port = offered.port,
                            .ready = ready,
                            .draining = !ready && endpoint.serving && endpoint.terminating,
                            .this_node = endpoint.node == cluster.this_node,
                            .weight = weight_of(cluster, {slice.namespace_, endpoint.pod}),
                            .endpoint = &endpoint});
      }
    }
  }
  return out;
}

template <typename Keep>
Candidates only(const Candidates& all, Keep keep) {
  Candidates out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out), keep);
  return out;
}

// "If there are no ready endpoints, those that serve while they terminate are used."
Candidates usable(const Candidates& all) {
  const auto ready = only(all, [](const Candidate& c) { return c.ready; });
  if (!ready.empty()) return ready;
  return only(all, [](const Candidate& c) { return c.draining; });
}

// Hints are heeded if every ready endpoint has some and one of them is for here.
template <typename Hints>
std::optional<Candidates> hinted(const Candidates& ready, Hints hints, const std::string& here) {
  const auto without = [&](const Candidate& c) { return hints(*c.endpoint).empty(); };
  if (std::any_of(ready.begin(), ready.end(), without)) return std::nullopt;
  auto out = only(ready, [&](const Candidate& c) { return has(hints(*c.endpoint), here); });
  if (out.empty()) return std::nullopt;
  return out;
}

Candidates for_cluster_policy(const Cluster& cluster, const Candidates& all) {
  const auto ready = only(all, [](const Candidate& c) { return c.ready; });
  const auto nodes = [](const SliceEndpoint& e) { return e.hinted_nodes; };
  const auto zones = [](const SliceEndpoint& e) { return e.hinted_zones; };
  if (const auto same_node = hinted(ready, nodes, cluster.this_node)) return *same_node;
  const auto own = cluster.nodes.find({"", cluster.this_node});
  const std::string zone = own == cluster.nodes.end() ? "" : own->second.zone;
  if (const auto same_zone = hinted(ready, zones, zone)) return *same_zone;
  return usable(all);
}

Candidates for_local_policy(const Candidates& all) {
  return usable(only(all, [](const Candidate& c) { return c.this_node; }));
}

// Annotation weir.dev/weight; nobody has a share of 0 but when all have.
void fill_backends(const Candidates& chosen, Answer& answer) {
  auto weighted = only(chosen, [](const Candidate& c) { return c.weight > 0; });
  if (weighted.empty()) {
    weighted = chosen;
    for (Candidate& one : weighted) one.weight = 1;
  }
  std::uint32_t divisor = 0;
  for (const Candidate& one : weighted) divisor = std::gcd(divisor, one.weight);
  for (const Candidate& one : weighted) {
    answer.backends[{one.address, one.port}] = {one.this_node, one.weight / divisor};
  }
}

// --- the answers ---------------------------------------------------------------------------------

// "Traffic through the load balancer is restricted to these client IPs." Ranges of the other family
// say nothing of this one.
bool is_source_refused(const Service& service, const Address& source) {
  bool any = false;
  for (const Cidr& range : service.source_ranges) {
    if (range.family() != source.family()) continue;
    any = true;
    if (range.contains(source)) return false;
  }
  return any;
}

Answer ask_pod(const Claimant& of, const Question& q) {
  Answer out{.verdict = Verdict::kServed, .owner = of.pod->key()};
  out.backends[{*pod_ip(*of.pod, q.destination.family()), of.host_port->port}] = {true, 1};
  return out;
}

// A node's own clients reach external addresses, and the node's own, as if by way of the balancer:
// policy Cluster. To another node they are clients as any.
bool is_local_policy(const Claimant& of, const Question& q) {
  if (of.by == By::kClusterIp) return of.service->internal_policy == TrafficPolicy::kLocal;
  return of.service->external_policy == TrafficPolicy::kLocal && q.from != From::kHere;
}

// Annotation weir.dev/node-local.
bool prefers_own_node(const Claimant& of, const Candidates& all) {
  return of.by == By::kClusterIp && of.service->own_node_first &&
         std::any_of(all.begin(), all.end(),
                     [](const Candidate& c) { return c.this_node && c.ready; });
}

Answer ask_service(const Cluster& cluster, const Claimant& of, const Question& q) {
  if (of.by == By::kIngress && is_source_refused(*of.service, q.source)) {
    return {.verdict = Verdict::kSourceRefused, .owner = of.service->key()};
  }
  const Candidates all = candidates(cluster, *of.service, *of.port, q.destination.family());
  const bool local = is_local_policy(of, q);
  const Candidates chosen = local || q.handed_over || prefers_own_node(of, all)
                                ? for_local_policy(all)
                                : for_cluster_policy(cluster, all);
  Answer out{.verdict = Verdict::kServed, .owner = of.service->key()};
  if (chosen.empty()) {
    const bool elsewhere = local && !usable(all).empty();
    out.verdict = elsewhere ? Verdict::kNoLocal : Verdict::kNoBackend;
    return out;
  }
  fill_backends(chosen, out);
  // kube-proxy also bridges clients that are routed to a ClusterIP.
  out.may_masquerade = q.from != From::kHere && (of.by == By::kClusterIp || !local);
  out.direct_return =
      of.service->dsr && of.by != By::kClusterIp && !local && q.from == From::kOutside;
  out.affinity_seconds = of.service->affinity_seconds;
  return out;
}

const char* name_of(From from) {
  switch (from) {
    case From::kHere:
      return "of this node";
    case From::kOtherNode:
      return "of another node";
    case From::kOutside:
      return "outside";
  }
  return "?";
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNoService:
      return "no Service";
    case Verdict::kUnknown:
      return "unknown address";
    case Verdict::kNoPort:
      return "no such port";
    case Verdict::kSourceRefused:
      return "source refused";
    case Verdict::kNoBackend:
      return "no backend";
    case Verdict::kNoLocal:
      return "no local backend";
    case Verdict::kServed:
      return "served";
  }
  return "?";
}

}  // namespace

bool Cluster::is_this_nodes(const Address& address) const {
  const auto own = nodes.find({"", this_node});
  return own != nodes.end() && has(own->second.addresses, address);
}

std::string Question::to_string() const {
  return fmt::format("{} ({}) -> {} port {}/{}{}", source.to_string(), name_of(from),
                     destination.to_string(), port, protocol_name(protocol),
                     handed_over ? ", handed over" : "");
}

std::string Answer::to_string() const {
  std::string out = name_of(verdict);
  if (!owner.name.empty()) out += " by " + owner.to_string();
  for (const auto& [place, backend] : backends) {
    out += fmt::format(" {}:{}{}*{}", place.first.to_string(), place.second,
                       backend.this_node ? "(here)" : "", backend.weight);
  }
  if (may_masquerade) out += " may be masqueraded";
  if (direct_return) out += " direct return";
  return affinity_seconds == 0 ? out : out + fmt::format(" affinity={}s", affinity_seconds);
}

Answer ask(const Cluster& cluster, const Question& q) {
  const auto found = addressed(cluster, q);
  if (!found) {
    if (is_cluster_ip(cluster, q.destination)) return {.verdict = Verdict::kNoPort};
    if (is_in_service_range(q.destination)) return {.verdict = Verdict::kUnknown};
    return {};
  }
  return found->pod != nullptr ? ask_pod(*found, q) : ask_service(cluster, *found, q);
}

std::vector<Question> expected_places(const Cluster& cluster, const Service& service) {
  std::vector<Address> addresses = service.cluster_ips;
  for (const Ingress& one : service.ingress) {
    const bool served = service.type == ServiceType::kLoadBalancer && !one.proxy;
    if (served) addresses.push_back(one.address);
  }
  if (cluster.external_ips) {
    addresses.insert(addresses.end(), service.external_ips.begin(), service.external_ips.end());
  }
  std::vector<Question> out;
  for (const Address& address : addresses) {
    if (!is_proxied(service) || !cluster_ip(service, address.family())) continue;
    for (const ServicePort& port : service.ports) {
      if (port.port == 0) continue;
      out.push_back({.source = address,
                     .from = From::kHere,
                     .destination = address,
                     .port = port.port,
                     .protocol = port.protocol});
    }
  }
  return out;
}

}  // namespace weir::oracle
