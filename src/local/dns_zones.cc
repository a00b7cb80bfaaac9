// Services, EndpointSlices and pods -> DNS records.

#include "local/dns_zones.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace weir::local {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

class Zones {
 public:
  explicit Zones(const std::vector<EndpointSlice>& slices) {
    for (const auto& slice : slices) slices_[slice.service_key()].push_back(&slice);
  }

  void add_service(const ServiceManifest& manifest) {
    const auto& service = manifest.service;
    const auto name = name_of(service);
    if (service.type == ServiceType::kExternalName) {
      if (!manifest.external_name.empty()) add(name, "CNAME", manifest.external_name + ".");
      return;
    }
    if (service.headless) return add_headless(service, name);
    for (const auto& address : service.cluster_ips) {
      add_address(name, address);
      add_reverse(address, name);
    }
    if (service.cluster_ips.empty()) return;
    for (const auto& port : service.ports)
      add_port(name, port.name, port.protocol, port.port, name);
  }

  void add_pod(const Pod& pod) {
    if (pod.finished()) return;
    for (const auto& address : pod.addresses) {
      add_address(fmt::format("{}.{}.pod.{}.", dashed(address), pod.namespace_, kClusterDomain),
                  address);
    }
  }

  DnsZones take() {
    DnsZones zones;
    for (const auto& line : forward_) zones.cluster += line + '\n';
    for (const auto& [address, name] : reverse_) {
      auto& zone = address.is_v4() ? zones.reverse4 : zones.reverse6;
      zone += fmt::format("{} PTR {}\n", reverse_name(address), name);
    }
    return zones;
  }

 private:
  static std::string name_of(const Service& service) {
    return fmt::format("{}.{}.svc.{}.", service.name, service.namespace_, kClusterDomain);
  }

  void add(const std::string& name, const char* type, const std::string& data) {
    forward_.insert(fmt::format("{} {} {}", name, type, data));
  }

  void add_address(const std::string& name, const Address& address) {
    add(name, address.is_v4() ? "A" : "AAAA", address.to_string());
  }

  // Who comes first has the address: pods of two Services would else have two names.
  void add_reverse(const Address& address, const std::string& name) {
    reverse_.emplace(address, name);
  }

  void add_port(const std::string& service, const std::string& port, Protocol protocol,
                std::uint16_t number, const std::string& target) {
    if (port.empty()) return;
    add(fmt::format("_{}._{}.{}", port, lower(protocol_name(protocol)), service), "SRV",
        fmt::format("0 100 {} {}", number, target));
  }

  void add_headless(const Service& service, const std::string& name) {
    const auto found = slices_.find(service.key());
    if (found == slices_.end()) return;
    for (const auto* slice : found->second) {
      for (const auto& endpoint : slice->endpoints) {
        if (!endpoint.ready || endpoint.addresses.empty()) continue;
        const auto& address = endpoint.addresses.front();
        const auto own = fmt::format("{}.{}", dashed(address), name);
        add_address(name, address);
        add_address(own, address);
        add_reverse(address, own);
        for (const auto& port : slice->ports) {
          add_port(name, port.name, port.protocol, port.port, own);
        }
      }
    }
  }

  std::map<ObjectKey, std::vector<const EndpointSlice*>> slices_;  // by Service
  std::set<std::string> forward_;
  std::map<Address, std::string> reverse_;
};

}  // namespace

std::string reverse_name(const Address& address) {
  std::string text;
  const auto wire = address.wire();
  for (auto byte = wire.rbegin(); byte != wire.rend(); ++byte) {
    const auto value = static_cast<unsigned char>(*byte);
    if (address.is_v4()) {
      fmt::format_to(std::back_inserter(text), "{}.", value);
    } else {
      fmt::format_to(std::back_inserter(text), "{:x}.{:x}.", value & 15, value >> 4);
    }
  }
  return text + (address.is_v4() ? "in-addr.arpa." : "ip6.arpa.");
}

std::string dashed(const Address& address) {
  auto text = address.to_string();
  std::ranges::replace_if(text, [](char c) { return c == '.' || c == ':'; }, '-');
  return text;
}

DnsZones make_zones(const std::vector<ServiceManifest>& services,
                    const std::vector<EndpointSlice>& slices, const std::vector<Pod>& pods) {
  Zones zones(slices);
  for (const auto& service : services) zones.add_service(service);
  for (const auto& pod : pods) zones.add_pod(pod);
  return zones.take();
}

}  // namespace weir::local
