#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/address.h"
#include "base/result.h"

// What an agent says of Services: a line of /v1/services each.
namespace weir::api {

// An endpoint of a Service port, as this node sees it.
struct ServiceBackendInfo {
  std::string address;
  std::uint16_t port = 0;  // 0: its slice has no such port
  std::string pod;         // in the Service's namespace
  std::string node;
  std::string zone;
  bool ready = false;
  bool serving = false;
  bool terminating = false;
  std::uint32_t weight = 1;
  // Why it gets no connections of traffic policy Cluster or Local, "" when it does: "not ready",
  // "terminating", "other zone", "other node", "no such port", "other family", "weight 0".
  std::string unused_cluster;
  std::string unused_local;
  std::uint64_t connections = 0;  // now, through this node
};

struct ServiceFrontendInfo {
  std::string kind;     // "ClusterIP", "NodePort", "LoadBalancer", "ExternalIP"
  std::string address;  // "*": every address of a node
  std::uint16_t port = 0;
  std::string policy;  // traffic policy: "Cluster", "Local"
};

// A port of a Service in one family.
struct ServicePortInfo {
  std::string name;
  std::string protocol;
  std::string family;    // "IPv4", "IPv6"
  std::uint32_t id = 0;  // in the kernel's tables; 0: it is not in them
  std::vector<ServiceFrontendInfo> frontends;
  std::vector<ServiceBackendInfo> backends;
};

struct ServiceHealthInfo {
  std::uint16_t port = 0;  // 0: the Service has no health check port
  std::uint32_t local_endpoints = 0;
  std::string trouble;  // why the port is not served; "": it is
};

// Of connections that are over, through this node, since the agent's start.
struct ServiceTraffic {
  std::uint64_t connections = 0;
  std::uint64_t unanswered = 0;
  std::uint64_t bytes_in = 0;  // from the clients
  std::uint64_t bytes_out = 0;
  std::uint64_t dropped = 0;    // drop events
  std::uint64_t answer_ns = 0;  // median time to the first answer; 0: none was seen
};

struct ServiceInfo {
  std::string node;  // that says this
  std::string namespace_;
  std::string name;
  std::string type;  // "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
  bool headless = false;
  std::string internal_policy;
  std::string external_policy;
  std::uint32_t affinity_seconds = 0;
  std::string distribution;  // "", "PreferSameZone", "PreferSameNode"
  ServiceHealthInfo health;
  std::vector<ServicePortInfo> ports;
  ServiceTraffic traffic;
  std::vector<std::string> notes;  // what is not served as written, and why
};

// Connections that go through Services now: how many by (id of the Service port, backend).
struct ServiceUse {
  std::map<std::tuple<std::uint32_t, Address, std::uint16_t>, std::uint64_t> connections;

  std::uint64_t of(std::uint32_t id, const Address& address, std::uint16_t port) const {
    const auto found = connections.find({id, address, port});
    return found == connections.end() ? 0 : found->second;
  }
};

// Without a line end.
std::string to_json(const ServiceInfo& service);
Result<ServiceInfo> parse_service(std::string_view json);

}  // namespace weir::api
