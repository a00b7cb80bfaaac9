#include "state/service_places.h"

#include <algorithm>
#include <tuple>

namespace weir {
namespace {

std::uint64_t hash_of(const Address& address) { return std::hash<Address>()(address); }
std::uint64_t hash_of(std::uint16_t port, Protocol protocol) {
  return port * std::uint64_t{257} + static_cast<std::uint8_t>(protocol);
}

bool has_address(const Service& service, const Address& address) {
  const auto is_it = [&address](const Ingress& ingress) { return ingress.address == address; };
  return std::ranges::find(service.cluster_ips, address) != service.cluster_ips.end() ||
         std::ranges::find(service.external_ips, address) != service.external_ips.end() ||
         std::ranges::any_of(service.ingress, is_it);
}

const ServicePort* port_of(const Service& service, std::uint16_t port, Protocol protocol) {
  const auto it = std::ranges::find_if(service.ports, [&](const ServicePort& candidate) {
    return candidate.port == port && candidate.protocol == protocol;
  });
  return it != service.ports.end() ? &*it : nullptr;
}

const ServicePort* node_port_of(const Service& service, std::uint16_t port, Protocol protocol) {
  const auto it = std::ranges::find_if(service.ports, [&](const ServicePort& candidate) {
    return candidate.node_port == port && candidate.protocol == protocol;
  });
  return it != service.ports.end() ? &*it : nullptr;
}

// The better of what is asked for.
class Best {
 public:
  void offer(const Service& service, const ServicePort* port) {
    Rank rank{port == nullptr, service.created, service.key()};
    if (rank_ && *rank_ <= rank) return;
    rank_ = std::move(rank);
    name_ = {service.namespace_, service.name, port != nullptr ? port->name : ""};
  }
  std::optional<ServiceName> name() const { return rank_ ? std::optional(name_) : std::nullopt; }

 private:
  using Rank = std::tuple<bool, std::int64_t, ObjectKey>;

  std::optional<Rank> rank_;
  ServiceName name_;
};

// Each address and node port of a Service may be there several times.
template <typename ByAddress, typename ByPort>
void for_each_place(const Service& service, ByAddress by_address, ByPort by_port) {
  for (const Address& address : service.cluster_ips) by_address(hash_of(address));
  for (const Address& address : service.external_ips) by_address(hash_of(address));
  for (const Ingress& ingress : service.ingress) by_address(hash_of(ingress.address));
  for (const ServicePort& port : service.ports) {
    if (port.node_port != 0) by_port(hash_of(port.node_port, port.protocol));
  }
}

}  // namespace

void ServicePlaces::change(const RowChange<Service>& change) {
  const PackedRow<Service>* row = change.row;
  if (change.before != nullptr) {
    for_each_place(
        *change.before, [this, row](std::uint64_t hash) { by_address_.erase(hash, row); },
        [this, row](std::uint64_t hash) { by_node_port_.erase(hash, row); });
  }
  if (change.after != nullptr) {
    for_each_place(
        *change.after, [this, row](std::uint64_t hash) { by_address_.insert(hash, row); },
        [this, row](std::uint64_t hash) { by_node_port_.insert(hash, row); });
  }
}

std::optional<ServiceName> ServicePlaces::find(const Address& address, std::uint16_t port,
                                               Protocol protocol) const {
  Best best;
  by_address_.for_each(hash_of(address), [&](const auto& row) {
    const Service service = row.unpack();
    if (has_address(service, address)) best.offer(service, port_of(service, port, protocol));
  });
  return best.name();
}

std::optional<ServiceName> ServicePlaces::find_node_port(std::uint16_t port,
                                                         Protocol protocol) const {
  Best best;
  by_node_port_.for_each(hash_of(port, protocol), [&](const auto& row) {
    const Service service = row.unpack();
    const ServicePort* found = node_port_of(service, port, protocol);
    if (found != nullptr) best.offer(service, found);
  });
  return best.name();
}

}  // namespace weir
