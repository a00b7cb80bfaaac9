// Whatever a Service or slice has comes back, and the store tells it as a table of plain values
// would.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "state/store.h"

namespace weir {
namespace {

template <typename T>
T any() {
  return *rc::gen::arbitrary<T>();
}

// Any bytes, or one of few that begin alike.
std::string any_text() {
  if (any<bool>()) return any<std::string>();
  return std::string(*rc::gen::inRange<std::size_t>(0, 200), 'x') +
         *rc::gen::element<std::string>("", "a", "b");
}

template <typename Make>
auto some(Make make) {
  std::vector<decltype(make())> out(*rc::gen::inRange<std::size_t>(0, 4));
  for (auto& one : out) one = make();
  return out;
}

Address any_address() {
  if (any<bool>()) return Address::v4(any<std::uint32_t>());
  std::array<std::uint8_t, 16> bytes{};
  for (auto& byte : bytes) byte = any<std::uint8_t>();
  return Address::from_bytes(bytes);
}

Cidr any_cidr() {
  const Address address = any_address();
  return {address, *rc::gen::inRange(0, address.is_v4() ? 33 : 129)};
}

template <typename Enum>
Enum any_of(Enum last) {
  return static_cast<Enum>(*rc::gen::inRange(0, static_cast<int>(last) + 1));
}

Protocol any_protocol() {
  return *rc::gen::element(Protocol::kTcp, Protocol::kUdp, Protocol::kSctp);
}

Family any_family() { return *rc::gen::element(Family::kIpv4, Family::kIpv6); }

Service any_service(ObjectKey key) {
  Service out;
  out.namespace_ = std::move(key.namespace_);
  out.name = std::move(key.name);
  out.created = any<std::int64_t>();
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) out.selector[any_text()] = any_text();
  out.ports = some([] {
    return ServicePort{any_text(),
                       any_protocol(),
                       any<std::uint16_t>(),
                       {any<std::uint16_t>(), any_text()},
                       any<std::uint16_t>()};
  });
  out.cluster_ips = some(any_address);
  out.headless = any<bool>();
  out.type = any_of(ServiceType::kExternalName);
  out.families = some(any_family);
  out.external_ips = some(any_address);
  out.ingress = some([] { return Ingress{any_address(), any<bool>()}; });
  out.source_ranges = some(any_cidr);
  out.internal_policy = any_of(TrafficPolicy::kLocal);
  out.external_policy = any_of(TrafficPolicy::kLocal);
  out.health_check_port = any<std::uint16_t>();
  out.allocate_node_ports = any<bool>();
  out.publish_not_ready = any<bool>();
  out.affinity_seconds = any<std::uint32_t>();
  out.distribution = any_of(TrafficDistribution::kPreferSameNode);
  out.other_proxy = any<bool>();
  out.own_node_first = any<bool>();
  out.node_local_for = any<std::string>();
  out.dsr = any<bool>();
  return out;
}

SliceEndpoint any_endpoint() {
  SliceEndpoint out;
  out.addresses = some(any_address);
  out.ready = any<bool>();
  out.serving = any<bool>();
  out.terminating = any<bool>();
  out.node = any_text();
  out.zone = any_text();
  out.hinted_zones = some(any_text);
  out.hinted_nodes = some(any_text);
  out.pod = any_text();
  return out;
}

EndpointSlice any_slice(ObjectKey key) {
  EndpointSlice out;
  out.namespace_ = std::move(key.namespace_);
  out.name = std::move(key.name);
  out.service = any_text();
  out.family = any_family();
  out.endpoints = some(any_endpoint);
  out.ports = some([] { return SlicePort{any_text(), any_protocol(), any<std::uint16_t>()}; });
  return out;
}

PodEndpoint any_pod_endpoint(ObjectKey key) {
  PodEndpoint out;
  out.namespace_ = std::move(key.namespace_);
  out.name = std::move(key.name);
  out.node = any_text();
  for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
    const auto usual = rc::gen::element<std::string>("app", "version", "pod-template-hash", "apq");
    out.labels[any<bool>() ? *usual : any_text()] = any_text();
  }
  out.addresses = some(any_address);
  out.weight = any<std::uint32_t>();
  out.workload = any_text();
  out.leaving = any<bool>();
  return out;
}

template <typename T>
T through_bytes(const T& value) {
  T out;
  unpack(pack(value), out);
  return out;
}

RC_GTEST_PROP(PackingProperty, WhateverIsPackedComesBack, ()) {
  const Service service = any_service({any_text(), any_text()});
  RC_ASSERT(through_bytes(service) == service);
  RC_ASSERT(PackedRow(service).key() ==
            std::pair(std::string_view(service.namespace_), std::string_view(service.name)));
  const EndpointSlice slice = any_slice({any_text(), any_text()});
  RC_ASSERT(through_bytes(slice) == slice);
  const PodEndpoint endpoint = any_pod_endpoint({any_text(), any_text()});
  RC_ASSERT(through_bytes(endpoint) == endpoint);
}

// A map of plain values, fed by what the store tells.
template <typename T>
struct Mirror {
  std::map<ObjectKey, T> rows;
  std::map<ObjectKey, const PackedRow<T>*> places;

  void change(const RowChange<T>& row) {
    const ObjectKey key = (row.after != nullptr ? row.after : row.before)->key();
    const auto known = rows.find(key);
    RC_ASSERT((row.before != nullptr) == (known != rows.end()));
    if (known != rows.end()) {
      RC_ASSERT(known->second == *row.before);
      RC_ASSERT(places.at(key) == row.row);
    }
    rows.erase(key);
    places.erase(key);
    if (row.after == nullptr) return;
    RC_ASSERT(row.row->unpack() == *row.after);
    rows[key] = *row.after;
    places[key] = row.row;
  }
  bool is_all_of(const PackedTable<T>& table) const {
    return std::ranges::equal(table, rows, [](const PackedRow<T>& row, const auto& entry) {
      return row.unpack() == entry.second;
    });
  }
};

RC_GTEST_PROP(PackingProperty, TheStoreTellsWhatItHas, ()) {
  Store store;
  Mirror<Service> services;
  Mirror<EndpointSlice> slices;
  store.listen([&](const StoreChange& change) {
    if (const auto* row = std::get_if<RowChange<Service>>(&change)) services.change(*row);
    if (const auto* row = std::get_if<RowChange<EndpointSlice>>(&change)) slices.change(*row);
  });
  for (int step = *rc::gen::inRange(0, 40); step > 0; --step) {
    const ObjectKey key{*rc::gen::element<std::string>("", "a", "ab"),
                        *rc::gen::element<std::string>("", "b", "c")};
    const bool is_service = any<bool>();
    if (any<bool>()) {
      store.erase(is_service ? Kind::kService : Kind::kEndpointSlice, key);
      continue;
    }
    const Object object = is_service ? Object(any_service(key)) : Object(any_slice(key));
    store.upsert(object);
    RC_ASSERT(!store.upsert(object));
  }
  RC_ASSERT(services.is_all_of(store.snapshot().services));
  RC_ASSERT(slices.is_all_of(store.snapshot().slices));
}

}  // namespace
}  // namespace weir
