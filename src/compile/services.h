#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/endpoint_slice.h"
#include "model/pod.h"
#include "model/service.h"
#include "state/service_entries.h"

namespace weir {

// What the entries of a Service depend on besides the Service and its slices.
struct ServiceContext {
  std::string node;  // this node
  std::string zone;  // of this node; empty: none
  bool external_ips = true;
  bool dsr = false;
  // Weight of the pod behind an endpoint, 1 when nothing is known of it.
  std::function<std::uint32_t(const ObjectKey& pod)> weight;
};

// Pure: a Service and all of its slices -> entries of each of its ports and families. What is not
// served (headless, ExternalName, another proxy's) has none. Follows kube-proxy in which endpoints
// serve (k8s.io/kubernetes/pkg/proxy/topology.go) and in which addresses are served.
// complaints: what cannot be served as written, one sentence each, naming the Service.
ServiceChanges compile_service(const Service& service, std::span<const EndpointSlice> slices,
                               const ServiceContext& context, std::vector<std::string>& complaints);

// Pure: the hostPorts of a pod of this node.
ServiceChanges compile_host_ports(const Pod& pod);

// Why an endpoint does or does not serve on this node; for `weir services`.
enum class EndpointUse : std::uint8_t {
  kServes,
  kNotReady,
  kTerminating,  // serves only while no other does
  kOtherZone,    // topology
  kOtherNode,    // topology, or traffic policy Local
  kNoSuchPort,   // its slice has no port of this name and protocol
  kOtherFamily,
  kNoWeight,  // its pod has weight 0, others have more
};

struct EndpointState {
  Address address;
  std::uint16_t port = 0;
  std::string node;
  std::string zone;
  std::string pod;
  bool ready = false;
  bool serving = false;
  bool terminating = false;
  std::uint32_t weight = 1;
  EndpointUse cluster = EndpointUse::kServes;  // in the set `cluster`
  EndpointUse local = EndpointUse::kServes;    // in the set `local`
};

// The same decision as compile_service, told endpoint by endpoint.
std::vector<EndpointState> endpoint_states(const Service& service, const ServicePort& port,
                                           Family family, std::span<const EndpointSlice> slices,
                                           const ServiceContext& context);

}  // namespace weir
