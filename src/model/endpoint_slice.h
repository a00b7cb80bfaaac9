#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "model/key.h"
#include "model/service.h"

namespace weir {

// One endpoint of an EndpointSlice. As in the API, absent conditions have been given their
// defaults: ready and serving are true, terminating is false.
struct SliceEndpoint {
  std::vector<Address> addresses;  // the API allows several; clients use the first
  bool ready = true;
  bool serving = true;
  bool terminating = false;
  std::string node;                       // empty: not known
  std::string zone;                       // empty: not known
  std::vector<std::string> hinted_zones;  // hints.forZones
  std::vector<std::string> hinted_nodes;  // hints.forNodes
  std::string pod;                        // targetRef of kind Pod, in the slice's namespace

  friend bool operator==(const SliceEndpoint&, const SliceEndpoint&) = default;
};

struct SlicePort {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;  // 0: all ports; such a slice port serves no Service port

  friend bool operator==(const SlicePort&, const SlicePort&) = default;
};

// discovery.k8s.io/v1. A slice belongs to the Service that its label kubernetes.io/service-name
// names.
struct EndpointSlice {
  std::string namespace_;
  std::string name;
  std::string service;            // name of the Service; empty: of none
  Family family = Family::kIpv4;  // addressType; FQDN slices are not kept
  std::vector<SliceEndpoint> endpoints;
  std::vector<SlicePort> ports;

  ObjectKey key() const { return {namespace_, name}; }
  ObjectKey service_key() const { return {namespace_, service}; }

  friend bool operator==(const EndpointSlice&, const EndpointSlice&) = default;
};

}  // namespace weir
