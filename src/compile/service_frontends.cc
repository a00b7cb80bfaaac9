// Services and pods -> the addresses and ports that they want to be reached by. Which of them are
// given is decided among all, in service_tracker.cc.
#include "compile/service_frontends.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace weir {
namespace {

// Nobody can be reached there from elsewhere, or all of the node would be caught.
bool is_special(const Address& address) {
  static const Cidr refused[] = {*Cidr::parse("0.0.0.0/8"), *Cidr::parse("127.0.0.0/8"),
                                 *Cidr::parse("224.0.0.0/3"), *Cidr::parse("::/127"),
                                 *Cidr::parse("ff00::/8")};
  return std::ranges::any_of(refused, [&address](const Cidr& cidr) {
    return cidr.family() == address.family() && cidr.contains(address);
  });
}

bool has_node_ports(const Service& service) {
  return service.type == ServiceType::kNodePort || service.type == ServiceType::kLoadBalancer;
}

bool place_before(const Claim& a, const Claim& b) {
  return std::tie(a.address, a.port, a.protocol, a.kind, a.index) <
         std::tie(b.address, b.port, b.protocol, b.kind, b.index);
}

class ServiceClaims {
 public:
  ServiceClaims(const Service& service, bool external_ips, std::vector<std::string>* complaints)
      : service_(service), external_ips_(external_ips), complaints_(complaints) {}

  std::vector<Claim> run() {
    find_addresses();
    for (std::size_t i = 0; i < service_.ports.size(); ++i) {
      add_port(service_.ports[i], static_cast<std::uint16_t>(i));
    }
    std::ranges::sort(claims_, place_before);
    claims_.erase(std::unique(claims_.begin(), claims_.end(),
                              [this](const auto& a, const auto& b) { return is_repeated(a, b); }),
                  claims_.end());
    return std::move(claims_);
  }

 private:
  struct Place {
    Address address;
    FrontendKind kind;
  };

  void find_addresses() {
    const auto ips = cluster_ips(service_);
    for (const Address& address : ips) {
      families_.push_back(address.family());
      add_address(address, FrontendKind::kClusterIp, "clusterIP");
    }
    for (const Address& address : service_.cluster_ips) {
      if (std::ranges::find(ips, address) == ips.end()) {
        complain("clusterIP {} is the second of its family; it is not served", address.to_string());
      }
    }
    if (service_.type == ServiceType::kLoadBalancer) {
      for (const Ingress& ingress : service_.ingress) {
        if (!ingress.proxy) add_address(ingress.address, FrontendKind::kLoadBalancer, "ingress");
      }
    }
    if (!external_ips_) return;
    for (const Address& address : service_.external_ips) {
      add_address(address, FrontendKind::kExternalIp, "externalIP");
    }
  }

  void add_address(const Address& address, FrontendKind kind, std::string_view field) {
    if (std::ranges::find(families_, address.family()) == families_.end()) return;
    if (is_special(address)) {
      complain("{} {} cannot be a Service's address; it is not served", field, address.to_string());
      return;
    }
    addresses_.push_back({address, kind});
  }

  void add_port(const ServicePort& port, std::uint16_t index) {
    if (port.port == 0) {
      complain("port {} '{}' has no number; it is not served", index, port.name);
      return;
    }
    for (const Place& place : addresses_) {
      claims_.push_back({place.address, port.port, port.protocol, place.kind, index});
      if (place.kind == FrontendKind::kClusterIp && !has_ports_) {
        claims_.push_back({place.address, 0, std::nullopt, place.kind, index});
      }
    }
    has_ports_ = true;
    if (port.node_port == 0 || !has_node_ports(service_)) return;
    for (const Family family : families_) {
      claims_.push_back(
          {zero_of(family), port.node_port, port.protocol, FrontendKind::kNodePort, index});
    }
  }

  // REQUIRES: a is before b in order.
  bool is_repeated(const Claim& a, const Claim& b) const {
    if (!a.same_place(b)) return false;
    if (a.index != b.index) {
      complain("ports {} and {} both are {}; it goes to port {}", a.index, b.index, a.to_string(),
               a.index);
    }
    return true;
  }

  template <typename... Args>
  void complain(fmt::format_string<Args...> format, Args&&... args) const {
    if (complaints_ == nullptr) return;
    complaints_->push_back(fmt::format("service {}: {}", service_.key().to_string(),
                                       fmt::format(format, std::forward<Args>(args)...)));
  }

  const Service& service_;
  const bool external_ips_;
  std::vector<std::string>* complaints_;
  std::vector<Family> families_;
  std::vector<Place> addresses_;
  std::vector<Claim> claims_;
  bool has_ports_ = false;
};

// host_ip says which addresses of the node: all of both families (::, or nothing said), all of IPv4
// (0.0.0.0), or the one.
bool has_family(const HostPort& port, Family family) {
  return port.host_ip.is_zero() || port.host_ip.family() == family;
}

}  // namespace

std::size_t Claim::hash() const {
  std::uint64_t out = std::hash<Address>()(address);
  const auto number = protocol ? static_cast<std::uint64_t>(*protocol) : 0;
  out ^= (static_cast<std::uint64_t>(port) << 8 | number) + 0x9e3779b97f4a7c15ULL + (out << 6);
  return out * 0xff51afd7ed558ccdULL;
}

std::string Claim::to_string() const {
  if (!protocol) return fmt::format("{} (all other ports)", address.to_string());
  const std::string host = address == zero_of(address.family())
                               ? std::string(address.is_v4() ? "IPv4 node" : "IPv6 node")
                               : address.to_string();
  return fmt::format("{} port {}/{}", host, port, protocol_name(*protocol));
}

Address zero_of(Family family) { return family == Family::kIpv4 ? Address::v4(0) : Address(); }

bool is_served(const Service& service) {
  return !service.other_proxy && !service.headless && !service.cluster_ips.empty() &&
         service.type != ServiceType::kExternalName;
}

std::vector<Address> cluster_ips(const Service& service) {
  std::vector<Address> out;
  for (const Address& address : service.cluster_ips) {
    if (std::ranges::find(out, address.family(), &Address::family) == out.end()) {
      out.push_back(address);
    }
  }
  return out;
}

ServicePortKey port_key(const Service& service, const ServicePort& port, Family family) {
  return {service.key(), port.name, port.protocol, family};
}

std::vector<ServicePortKey> port_keys(const Service& service) {
  std::vector<ServicePortKey> out;
  if (!is_served(service)) return out;
  for (const Address& address : cluster_ips(service)) {
    for (const ServicePort& port : service.ports) {
      out.push_back(port_key(service, port, address.family()));
    }
  }
  return out;
}

std::vector<Claim> claims_of(const Service& service, bool external_ips,
                             std::vector<std::string>* complaints) {
  if (!is_served(service)) return {};
  return ServiceClaims(service, external_ips, complaints).run();
}

std::vector<Claim> claims_of(const Pod& pod) {
  std::vector<Claim> out;
  if (pod.host_network || pod.finished()) return out;
  for (std::size_t i = 0; i < pod.host_ports.size(); ++i) {
    const HostPort& port = pod.host_ports[i];
    if (port.host_port == 0 || port.port == 0) continue;
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto own = std::ranges::find(pod.addresses, family, &Address::family);
      if (own == pod.addresses.end() || !has_family(port, family)) continue;
      const Address address = port.host_ip.is_zero() ? zero_of(family) : port.host_ip;
      out.push_back({address, port.host_port, port.protocol, FrontendKind::kHostPort,
                     static_cast<std::uint16_t>(i)});
    }
  }
  std::ranges::sort(out, place_before);
  const auto repeated =
      std::ranges::unique(out, [](const auto& a, const auto& b) { return a.same_place(b); });
  out.erase(repeated.begin(), repeated.end());
  return out;
}

ServicePortKey port_key(const Pod& pod, const HostPort& port, Family family) {
  std::string name = fmt::format("hostPort/{}/{}", protocol_name(port.protocol), port.host_port);
  if (port.host_ip != zero_of(port.host_ip.family())) name += "/" + port.host_ip.to_string();
  return {pod.key(), std::move(name), port.protocol, family};
}

std::vector<ServicePortKey> port_keys(const Pod& pod) {
  std::vector<ServicePortKey> out;
  for (const Claim& claim : claims_of(pod)) {
    out.push_back(port_key(pod, pod.host_ports[claim.index], claim.address.family()));
  }
  return out;
}

}  // namespace weir
