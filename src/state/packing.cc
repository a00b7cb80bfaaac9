#include "state/packing.h"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <map>
#include <type_traits>
#include <vector>

namespace weir {
namespace {

// Keys of labels that many objects have: one byte each. Only the packed form knows the order.
constexpr std::string_view kUsualKeys[] = {
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "chart",
    "component",
    "controller-revision-hash",
    "controller-uid",
    "environment",
    "helm.sh/chart",
    "heritage",
    "job-name",
    "k8s-app",
    "name",
    "pod-template-generation",
    "pod-template-hash",
    "release",
    "role",
    "security.istio.io/tlsMode",
    "service.istio.io/canonical-name",
    "service.istio.io/canonical-revision",
    "statefulset.kubernetes.io/pod-name",
    "team",
    "tier",
    "version",
};
static_assert(std::ranges::is_sorted(kUsualKeys));

// Each byte has seven bits, lowest first; the highest says that more follow.
class Packer {
 public:
  template <typename... Values>
  void operator()(const Values&... values) {
    (put(values), ...);
  }
  std::string bytes;

 private:
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
    bytes.push_back(static_cast<char>(value));
  }
  template <typename T>
    requires std::integral<T> || std::is_enum_v<T>
  void put(T value) {
    number(static_cast<std::uint64_t>(value));
  }
  void put(const std::string& text) {
    number(text.size());
    bytes += text;
  }
  void put(const Address& address) {
    bytes.push_back(static_cast<char>(address.family()));
    bytes += address.wire();
  }
  void put(const Cidr& cidr) { (*this)(cidr.address(), cidr.bits()); }
  template <typename T>
  void put(const std::vector<T>& list) {
    number(list.size());
    for (const T& each : list) put(each);
  }
  void put(const Labels& labels) {
    number(labels.size());
    for (const auto& [key, value] : labels) {
      put_key(key);
      put(value);
    }
  }
  // Its place among the usual ones, from 1; or 0 and the text.
  void put_key(const std::string& key) {
    const auto* usual = std::ranges::lower_bound(kUsualKeys, key);
    const bool is_usual = usual != std::end(kUsualKeys) && *usual == key;
    number(is_usual ? static_cast<std::uint64_t>(usual - kUsualKeys) + 1 : 0);
    if (!is_usual) put(key);
  }
  template <typename T>
    requires std::is_class_v<T>
  void put(const T& value) {
    fields(*this, value);
  }
};

std::uint64_t take_number(std::string_view& bytes) {
  std::uint64_t out = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    out |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return out;
  }
}

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}

  template <typename... Values>
  void operator()(Values&... values) {
    (get(values), ...);
  }

 private:
  template <typename T>
    requires std::integral<T> || std::is_enum_v<T>
  void get(T& value) {
    value = static_cast<T>(take_number(bytes_));
  }
  void get(std::string& text) { text = take_text(bytes_); }
  void get(Address& address) {
    const bool v4 = bytes_.front() == static_cast<char>(Family::kIpv4);
    std::array<std::uint8_t, 16> bytes = Address::v4(0).bytes();
    const std::size_t size = v4 ? 4 : 16;
    bytes_.copy(reinterpret_cast<char*>(bytes.data() + 16 - size), size, 1);
    bytes_.remove_prefix(1 + size);
    address = Address::from_bytes(bytes);
  }
  void get(Cidr& cidr) {
    Address address;
    int bits = 0;
    (*this)(address, bits);
    cidr = Cidr(address, bits);
  }
  template <typename T>
  void get(std::vector<T>& list) {
    list.resize(take_number(bytes_));
    for (T& each : list) get(each);
  }
  void get(Labels& labels) {
    for (auto n = take_number(bytes_); n > 0; --n) {
      const auto usual = take_number(bytes_);
      const std::string_view key = usual != 0 ? kUsualKeys[usual - 1] : take_text(bytes_);
      labels.emplace_hint(labels.end(), key, take_text(bytes_));
    }
  }
  template <typename T>
    requires std::is_class_v<T>
  void get(T& value) {
    fields(*this, value);
  }

  std::string_view bytes_;
};

// One list of fields for both ways. The bindings fail to compile when a field is added.

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, TargetPort>
void fields(Archive& archive, T& value) {
  auto& [number, name] = value;
  archive(number, name);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, ServicePort>
void fields(Archive& archive, T& value) {
  auto& [name, protocol, port, target, node_port] = value;
  archive(name, protocol, port, target, node_port);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, Ingress>
void fields(Archive& archive, T& value) {
  auto& [address, proxy] = value;
  archive(address, proxy);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, Service>
void fields(Archive& archive, T& value) {
  auto& [namespace_, name, created, selector, ports, cluster_ips, headless, type, families,
         external_ips, ingress, source_ranges, internal_policy, external_policy, health_check_port,
         allocate_node_ports, publish_not_ready, affinity_seconds, distribution, other_proxy,
         own_node_first, node_local_for, dsr] = value;
  archive(namespace_, name, created, selector, ports, cluster_ips, headless, type, families,
          external_ips, ingress, source_ranges, internal_policy, external_policy, health_check_port,
          allocate_node_ports, publish_not_ready, affinity_seconds, distribution, other_proxy,
          own_node_first, node_local_for, dsr);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, SliceEndpoint>
void fields(Archive& archive, T& value) {
  auto& [addresses, ready, serving, terminating, node, zone, hinted_zones, hinted_nodes, pod] =
      value;
  archive(addresses, ready, serving, terminating, node, zone, hinted_zones, hinted_nodes, pod);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, SlicePort>
void fields(Archive& archive, T& value) {
  auto& [name, protocol, port] = value;
  archive(name, protocol, port);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, EndpointSlice>
void fields(Archive& archive, T& value) {
  auto& [namespace_, name, service, family, endpoints, ports] = value;
  archive(namespace_, name, service, family, endpoints, ports);
}

template <typename Archive, typename T>
  requires std::same_as<std::remove_const_t<T>, PodEndpoint>
void fields(Archive& archive, T& value) {
  auto& [namespace_, name, node, labels, addresses, weight, workload, leaving] = value;
  archive(namespace_, name, node, labels, addresses, weight, workload, leaving);
}

template <typename T>
std::string packed(const T& value) {
  Packer packer;
  packer(value);
  return std::move(packer.bytes);
}

}  // namespace

std::string_view take_text(std::string_view& bytes) {
  const auto size = static_cast<std::size_t>(take_number(bytes));
  const std::string_view out = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return out;
}

std::string pack(const Service& service) { return packed(service); }
std::string pack(const EndpointSlice& slice) { return packed(slice); }
std::string pack(const PodEndpoint& endpoint) { return packed(endpoint); }
void unpack(std::string_view bytes, Service& out) { Unpacker{bytes}(out); }
void unpack(std::string_view bytes, EndpointSlice& out) { Unpacker{bytes}(out); }
void unpack(std::string_view bytes, PodEndpoint& out) { Unpacker{bytes}(out); }

}  // namespace weir
