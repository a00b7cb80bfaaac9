#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/pointer_index.h"
#include "state/store.h"

namespace weir {

// A port of a Service.
struct ServiceName {
  std::string namespace_;
  std::string name;
  std::string port;  // the port's name, empty for a single nameless one

  friend bool operator==(const ServiceName&, const ServiceName&) = default;
};

// Addresses and node ports -> the Services that have them, whether they are served here or not. Of
// several, the one created first, then the first by name. Costs 16 to 32 bytes for each address and
// node port; refers to the rows of the store.
class ServicePlaces {
 public:
  void change(const RowChange<Service>& row);

  // By one of the Service's own addresses: ClusterIP, external IP or load balancer's. Without the
  // port's name if it has no such port.
  std::optional<ServiceName> find(const Address& address, std::uint16_t port,
                                  Protocol protocol) const;
  std::optional<ServiceName> find_node_port(std::uint16_t port, Protocol protocol) const;

 private:
  PointerIndex<PackedRow<Service>> by_address_;
  PointerIndex<PackedRow<Service>> by_node_port_;
};

}  // namespace weir
