#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compile/services.h"

namespace weir {

// An address and port behind a Service port, and whether it serves.
struct PortEndpoint {
  Address address;
  std::uint16_t port = 0;
  bool ready = false;     // new connections are meant to go there
  bool draining = false;  // serves, terminates, and is used while nobody is ready
  bool this_node = false;
  EndpointUse cluster = EndpointUse::kServes;
  EndpointUse local = EndpointUse::kServes;
  std::uint32_t weight = 1;
  const SliceEndpoint* from = nullptr;
  const EndpointSlice* slice = nullptr;
};

// Those of one Service port in one family, each once, by address and port.
struct PortEndpoints {
  std::vector<PortEndpoint> all;
  bool any = false;        // somebody serves, on whichever node
  bool own_ready = false;  // somebody on this node is ready

  // Sorted; weights have no common divisor.
  std::vector<ServiceBackend> cluster() const;
  std::vector<ServiceBackend> local() const;
};

PortEndpoints endpoints_of(const Service& service, const ServicePort& port, Family family,
                           std::span<const EndpointSlice> slices, const ServiceContext& context);

// False: not an address that an endpoint can have.
bool is_endpoint_address(const Address& address, Family family);

// One sentence for each slice with endpoints or ports that cannot be used.
void check_slices(const Service& service, std::span<const EndpointSlice> slices,
                  std::vector<std::string>& complaints);

// Ready endpoints of this node, of the family that has more of them.
std::uint32_t count_ready_here(const Service& service, std::span<const EndpointSlice> slices,
                               const std::string& node);

}  // namespace weir
