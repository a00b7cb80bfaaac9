#include "generate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace weir::oracle {
namespace {

using rc::gen::set;

Address address(const char* text) { return *Address::parse(text); }

// One of these texts, parsed.
template <typename T>
rc::Gen<T> parsed(std::vector<const char*> texts) {
  return rc::gen::map(rc::gen::elementOf(std::move(texts)),
                      [](const char* text) { return *T::parse(text); });
}

rc::Gen<std::string> text(std::vector<std::string> texts) {
  return rc::gen::elementOf(std::move(texts));
}

template <typename T>
rc::Gen<std::vector<T>> up_to(int most, rc::Gen<T> gen) {
  return rc::gen::resize(most, rc::gen::container<std::vector<T>>(std::move(gen)));
}

// Shrinks to false.
rc::Gen<bool> seldom(std::size_t one_in) {
  return rc::gen::weightedOneOf<bool>(
      {{one_in - 1, rc::gen::just(false)}, {1, rc::gen::arbitrary<bool>()}});
}

template <typename T>
rc::Gen<T> mostly(T usual, std::vector<T> others, std::size_t weight = 4) {
  return rc::gen::weightedOneOf<T>(
      {{weight, rc::gen::just(usual)}, {1, rc::gen::elementOf(std::move(others))}});
}

rc::Gen<std::string> any_namespace() { return mostly<std::string>("shop", {"bank"}, 8); }
rc::Gen<Protocol> any_protocol() {
  return mostly(Protocol::kTcp, {Protocol::kUdp, Protocol::kSctp}, 8);
}
rc::Gen<std::string> any_port_name() { return mostly<std::string>("http", {"", "dns"}, 8); }

// --- nodes and pods ------------------------------------------------------------------------------

rc::Gen<Node> any_node() {
  return rc::gen::build<Node>(
      set(&Node::name, text({"n0", "n0", "n1", "n2"})),
      set(&Node::addresses,
          up_to(2, parsed<Address>({"172.30.0.1", "172.30.0.1", "fd00:30::1", "172.30.0.2",
                                    "fd00:30::2", "10.96.0.3", "198.51.100.3"}))),
      set(&Node::pod_cidrs,
          up_to(2, parsed<Cidr>({"10.244.1.0/24", "10.244.2.0/24", "fd00:244:1::/64",
                                 "198.51.100.2/31", "192.0.2.4/32"}))),
      set(&Node::zone, text({"", "a", "a", "b"})), set(&Node::leaving, seldom(5)));
}

rc::Gen<HostPort> any_host_port() {
  return rc::gen::build<HostPort>(
      set(&HostPort::protocol, any_protocol()),
      set(&HostPort::host_port, rc::gen::element<std::uint16_t>(80, 30080, 31000, 0)),
      set(&HostPort::port, mostly<std::uint16_t>(8080, {9090, 0})),
      set(&HostPort::host_ip,
          parsed<Address>({"::", "::", "0.0.0.0", "172.30.0.1", "198.51.100.1", "fd00:30::1"})));
}

rc::Gen<Pod> any_pod() {
  return rc::gen::build<Pod>(
      set(&Pod::namespace_, any_namespace()), set(&Pod::name, text({"p0", "p1", "p2", "p3"})),
      set(&Pod::node, text({"n0", "n0", "n1", ""})),
      set(&Pod::addresses, up_to(2, parsed<Address>({"10.244.1.10", "10.244.1.11", "fd00:244:1::10",
                                                     "10.244.2.20"}))),
      set(&Pod::phase, mostly(PodPhase::kRunning, {PodPhase::kFailed, PodPhase::kPending}, 6)),
      set(&Pod::host_network, seldom(8)), set(&Pod::terminating, seldom(4)),
      set(&Pod::host_ports, up_to(2, any_host_port())),
      set(&Pod::weight, mostly<std::uint32_t>(1, {0, 2, 3, 6}, 2)));
}

// --- Services ------------------------------------------------------------------------------------

rc::Gen<ServicePort> any_service_port() {
  return rc::gen::build<ServicePort>(
      set(&ServicePort::name, any_port_name()), set(&ServicePort::protocol, any_protocol()),
      set(&ServicePort::port, mostly<std::uint16_t>(80, {443, 53, 0})),
      set(&ServicePort::node_port, rc::gen::element<std::uint16_t>(0, 30080, 30443)));
}

rc::Gen<std::vector<Address>> any_cluster_ips() {
  const auto ip = parsed<Address>(
      {"10.96.0.1", "10.96.0.2", "10.96.0.3", "10.96.0.4", "fd00:96::1", "fd00:96::2"});
  return rc::gen::oneOf(rc::gen::container<std::vector<Address>>(1, ip),
                        rc::gen::container<std::vector<Address>>(2, ip), up_to(3, ip));
}

rc::Gen<Ingress> any_ingress() {
  return rc::gen::build<Ingress>(
      set(&Ingress::address, parsed<Address>({"192.0.2.1", "192.0.2.2", "192.0.2.4", "10.96.0.2",
                                              "2001:db8:2::1", "127.0.0.1", "172.30.0.1"})),
      set(&Ingress::proxy, seldom(4)));
}

rc::Gen<Service> any_service() {
  const auto policy = rc::gen::element(TrafficPolicy::kCluster, TrafficPolicy::kLocal);
  return rc::gen::build<Service>(
      set(&Service::namespace_, any_namespace()),
      set(&Service::name, text({"s0", "s0", "s0", "s1", "s1", "s2", "s3", "s4"})),
      set(&Service::created, rc::gen::element<std::int64_t>(0, 100, 200, 300)),
      set(&Service::ports,
          rc::gen::weightedOneOf<std::vector<ServicePort>>(
              {{2, rc::gen::container<std::vector<ServicePort>>(1, any_service_port())},
               {1, up_to(3, any_service_port())}})),
      set(&Service::cluster_ips, any_cluster_ips()), set(&Service::headless, seldom(12)),
      set(&Service::type,
          mostly(ServiceType::kLoadBalancer,
                 {ServiceType::kClusterIp, ServiceType::kNodePort, ServiceType::kExternalName}, 2)),
      set(&Service::external_ips,
          up_to(2, parsed<Address>({"198.51.100.1", "198.51.100.2", "198.51.100.3", "192.0.2.1",
                                    "2001:db8:1::1", "10.96.0.1", "10.244.1.9", "224.0.0.1",
                                    "172.30.0.1", "fd00:30::1"}))),
      set(&Service::ingress, up_to(2, any_ingress())),
      set(&Service::source_ranges,
          up_to(2, parsed<Cidr>({"203.0.113.0/24", "10.244.0.0/16", "172.30.0.1/32", "0.0.0.0/0",
                                 "2001:db8:9::/48", "fd00::/8"}))),
      set(&Service::internal_policy, policy), set(&Service::external_policy, policy),
      set(&Service::publish_not_ready, seldom(5)),
      set(&Service::affinity_seconds, mostly<std::uint32_t>(0, {1, 10800})),
      set(&Service::other_proxy, seldom(12)), set(&Service::own_node_first, seldom(5)),
      set(&Service::dsr, rc::gen::arbitrary<bool>()));
}

// --- EndpointSlices ------------------------------------------------------------------------------

rc::Gen<std::vector<Address>> any_endpoint_addresses(Family family) {
  const auto good = family == Family::kIpv4
                        ? parsed<Address>({"10.244.1.10", "10.244.1.11", "10.244.2.20",
                                           "10.244.2.21", "10.244.2.22", "172.30.0.1"})
                        : parsed<Address>({"fd00:244:1::10", "fd00:244:2::20", "fd00:244:2::21"});
  const auto any = parsed<Address>({"10.244.1.10", "fd00:244:1::10", "127.0.0.1", "fe80::1"});
  return rc::gen::weightedOneOf<std::vector<Address>>(
      {{8, rc::gen::container<std::vector<Address>>(1, good)}, {1, up_to(2, any)}});
}

rc::Gen<SliceEndpoint> any_endpoint(Family family) {
  const auto hints = [](std::vector<std::string> names) {
    return up_to(2, text(std::move(names)));
  };
  return rc::gen::build<SliceEndpoint>(
      set(&SliceEndpoint::addresses, any_endpoint_addresses(family)),
      set(&SliceEndpoint::ready, rc::gen::map(seldom(2), [](bool not_so) { return !not_so; })),
      set(&SliceEndpoint::serving, rc::gen::map(seldom(3), [](bool not_so) { return !not_so; })),
      set(&SliceEndpoint::terminating, seldom(2)),
      set(&SliceEndpoint::node, text({"n0", "n1", "n1", "n2", ""})),
      set(&SliceEndpoint::hinted_zones, hints({"a", "b"})),
      set(&SliceEndpoint::hinted_nodes, hints({"n0", "n1"})),
      set(&SliceEndpoint::pod, text({"", "p0", "p1", "p2"})));
}

rc::Gen<SlicePort> any_slice_port() {
  return rc::gen::build<SlicePort>(set(&SlicePort::name, any_port_name()),
                                   set(&SlicePort::protocol, any_protocol()),
                                   set(&SlicePort::port, mostly<std::uint16_t>(8080, {8081, 0})));
}

rc::Gen<EndpointSlice> any_slice_of(Family family) {
  return rc::gen::build<EndpointSlice>(
      set(&EndpointSlice::namespace_, any_namespace()),
      set(&EndpointSlice::name, text({"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9"})),
      set(&EndpointSlice::service,
          mostly<std::string>("s0", {"s0", "s1", "s1", "s2", "s3", "s4", "nobody", ""}, 1)),
      set(&EndpointSlice::family, rc::gen::just(family)),
      set(&EndpointSlice::endpoints, up_to(5, any_endpoint(family))),
      set(&EndpointSlice::ports,
          rc::gen::weightedOneOf<std::vector<SlicePort>>(
              {{4, rc::gen::container<std::vector<SlicePort>>(1, any_slice_port())},
               {1, up_to(3, any_slice_port())}})));
}

rc::Gen<EndpointSlice> any_slice() {
  return rc::gen::weightedOneOf<EndpointSlice>(
      {{3, any_slice_of(Family::kIpv4)}, {1, any_slice_of(Family::kIpv6)}});
}

// --- the whole -----------------------------------------------------------------------------------

template <typename T>
rc::Gen<std::map<ObjectKey, T>> by_key(int most, rc::Gen<T> gen) {
  return rc::gen::map(up_to(most, std::move(gen)), [](const std::vector<T>& list) {
    std::map<ObjectKey, T> out;
    for (const T& one : list) out.insert_or_assign(one.key(), one);
    return out;
  });
}

struct Places {
  std::set<Address> addresses;
  std::set<std::uint16_t> ports;
  std::set<Protocol> protocols;

  void add(const auto& more) { addresses.insert(more.begin(), more.end()); }
};

std::set<Address> addresses_of(const Service& service) {
  std::set<Address> out(service.cluster_ips.begin(), service.cluster_ips.end());
  out.insert(service.external_ips.begin(), service.external_ips.end());
  for (const Ingress& ingress : service.ingress) out.insert(ingress.address);
  return out;
}

std::set<Address> node_addresses(const Cluster& cluster) {
  std::set<Address> out;
  for (const auto& [key, node] : cluster.nodes) {
    out.insert(node.addresses.begin(), node.addresses.end());
  }
  return out;
}

Places places(const Cluster& cluster) {
  Places out{.addresses = {address("10.96.0.9"), address("203.0.113.9"), address("10.244.1.10")},
             .ports = {22},
             .protocols = {Protocol::kTcp}};
  out.add(node_addresses(cluster));
  for (const auto& [key, service] : cluster.services) {
    out.add(addresses_of(service));
    for (const ServicePort& port : service.ports) {
      out.ports.insert({port.port, port.node_port});
      out.protocols.insert(port.protocol);
    }
  }
  for (const auto& [key, pod] : cluster.pods) {
    for (const HostPort& port : pod.host_ports) {
      out.addresses.insert(port.host_ip);
      out.ports.insert(port.host_port);
      out.protocols.insert(port.protocol);
    }
  }
  return out;
}

struct Client {
  Address address;
  From from;
};

// Pods of this node and of another, the nodes, and two clients outside, in each family.
const std::vector<Client>& clients(Family family) {
  static const std::vector<Client> v4 = {
      {address("10.244.1.10"), From::kHere},      {address("172.30.0.1"), From::kHere},
      {address("10.244.2.21"), From::kOtherNode}, {address("172.30.0.2"), From::kOtherNode},
      {address("203.0.113.5"), From::kOutside},   {address("198.18.0.1"), From::kOutside}};
  static const std::vector<Client> v6 = {
      {address("fd00:244:1::10"), From::kHere},      {address("fd00:30::1"), From::kHere},
      {address("fd00:244:2::21"), From::kOtherNode}, {address("fd00:30::2"), From::kOtherNode},
      {address("2001:db8:9::5"), From::kOutside},    {address("2001:db8:8::1"), From::kOutside}};
  return family == Family::kIpv4 ? v4 : v6;
}

std::uint32_t hash_of(const Question& q, std::uint32_t seed) {
  std::uint64_t out = seed;
  const auto mix = [&out](std::uint64_t value) { out = (out ^ value) * 0x9e3779b97f4a7c15ULL; };
  mix(std::hash<Address>()(q.source));
  mix(std::hash<Address>()(q.destination));
  mix(static_cast<std::uint64_t>(q.port) << 8 | static_cast<std::uint64_t>(q.protocol));
  return static_cast<std::uint32_t>(out >> 33);
}

// One in `one_in` of all.
void add_questions(Places of, std::uint32_t seed, std::uint32_t one_in, std::set<Question>& out) {
  of.ports.erase(0);
  for (const Address& nobodys : {Address(), Address::v4(0)}) of.addresses.erase(nobodys);
  for (const Address& destination : of.addresses) {
    for (const std::uint16_t port : of.ports) {
      for (const Protocol protocol : of.protocols) {
        for (const Client& client : clients(destination.family())) {
          const Question question{client.address, client.from, destination, port, protocol};
          if (hash_of(question, seed) % one_in == 0) out.insert(question);
        }
      }
    }
  }
}

template <typename List>
std::string listed(const List& list) {
  std::vector<std::string> out;
  for (const auto& one : list) out.push_back(one.to_string());
  return fmt::format("[{}]", fmt::join(out, " "));
}

void show(std::ostream& out, const Service& service) {
  out << fmt::format("service {} {} created={} ips={} external={} policy={}/{} ranges={}",
                     service.key().to_string(), service_type_name(service.type), service.created,
                     listed(service.cluster_ips), listed(service.external_ips),
                     service.internal_policy == TrafficPolicy::kLocal ? "local" : "cluster",
                     service.external_policy == TrafficPolicy::kLocal ? "local" : "cluster",
                     listed(service.source_ranges));
  if (service.headless) out << " headless";
  if (service.other_proxy) out << " other-proxy";
  if (service.publish_not_ready) out << " publish-not-ready";
  if (service.own_node_first) out << " own-node-first";
  if (service.dsr) out << " dsr";
  for (const Ingress& one : service.ingress) {
    out << " ingress=" << one.address.to_string() << (one.proxy ? "(proxy)" : "");
  }
  for (const ServicePort& one : service.ports) {
    out << fmt::format(" '{}':{}/{}>{}", one.name, one.port, protocol_name(one.protocol),
                       one.node_port);
  }
  out << "\n";
}

void show(std::ostream& out, const EndpointSlice& slice) {
  out << fmt::format("slice {} of {} IPv{}", slice.key().to_string(), slice.service,
                     static_cast<int>(slice.family));
  for (const SlicePort& one : slice.ports) {
    out << fmt::format(" '{}':{}/{}", one.name, one.port, protocol_name(one.protocol));
  }
  for (const SliceEndpoint& one : slice.endpoints) {
    out << fmt::format("\n  {} on '{}' {}{}{} zones={} nodes={} pod='{}'", listed(one.addresses),
                       one.node, one.ready ? "ready " : "", one.serving ? "serving " : "",
                       one.terminating ? "terminating" : "", fmt::join(one.hinted_zones, ","),
                       fmt::join(one.hinted_nodes, ","), one.pod);
  }
  out << "\n";
}

void show(std::ostream& out, const Pod& pod) {
  out << fmt::format("pod {} on '{}' {} {} weight={}{}{}", pod.key().to_string(), pod.node,
                     listed(pod.addresses), phase_name(pod.phase), pod.weight,
                     pod.terminating ? " terminating" : "",
                     pod.host_network ? " host-network" : "");
  for (const HostPort& one : pod.host_ports) {
    out << fmt::format(" {}:{}/{}>{}", one.host_ip.to_string(), one.host_port,
                       protocol_name(one.protocol), one.port);
  }
  out << "\n";
}

void show(std::ostream& out, const Node& node) {
  out << fmt::format("node {} {} pods={} zone='{}'\n", node.name, listed(node.addresses),
                     listed(node.pod_cidrs), node.zone);
}

}  // namespace

rc::Gen<Cluster> any_cluster() {
  return rc::gen::build<Cluster>(
      set(&Cluster::nodes, by_key(5, any_node())), set(&Cluster::pods, by_key(5, any_pod())),
      set(&Cluster::services, by_key(6, any_service())),
      set(&Cluster::slices, by_key(16, any_slice())),
      set(&Cluster::external_ips, rc::gen::map(seldom(6), [](bool off) { return !off; })));
}

std::vector<Question> questions(const Cluster& cluster, std::uint32_t seed) {
  std::set<Question> out;
  for (const auto& [key, service] : cluster.services) {
    for (const ServicePort& port : service.ports) {
      Places wanted{
          .addresses = addresses_of(service), .ports = {port.port}, .protocols = {port.protocol}};
      add_questions(wanted, seed, 2, out);
      wanted.ports = {port.node_port};
      wanted.add(node_addresses(cluster));
      add_questions(wanted, seed, 4, out);
    }
  }
  add_questions(places(cluster), seed, 256, out);
  return {out.begin(), out.end()};
}

std::vector<Object> objects(const Cluster& cluster) {
  std::vector<Object> out;
  for (const auto& [key, node] : cluster.nodes) out.emplace_back(node);
  for (const auto& [key, pod] : cluster.pods) out.emplace_back(pod);
  for (const auto& [key, service] : cluster.services) out.emplace_back(service);
  for (const auto& [key, slice] : cluster.slices) out.emplace_back(slice);
  return out;
}

std::ostream& operator<<(std::ostream& out, const Cluster& cluster) {
  out << "external IPs " << (cluster.external_ips ? "on" : "off") << "\n";
  for (const auto& [key, node] : cluster.nodes) show(out, node);
  for (const auto& [key, pod] : cluster.pods) show(out, pod);
  for (const auto& [key, service] : cluster.services) show(out, service);
  for (const auto& [key, slice] : cluster.slices) show(out, slice);
  return out;
}

}  // namespace weir::oracle
