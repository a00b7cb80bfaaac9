#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/address.h"
#include "model/key.h"
#include "model/service.h"

namespace weir {

// One port of a Service in one family, or a pod's hostPort: what has an id in the kernel.
struct ServicePortKey {
  ObjectKey object;  // Service, or the pod of a hostPort
  std::string port;  // the port's name, "" for a single nameless one; a hostPort: "hostPort/TCP/80"
  Protocol protocol = Protocol::kTcp;
  Family family = Family::kIpv4;

  // "shop/cart:http/TCP/IPv4"
  std::string to_string() const;
  bool is_host_port() const { return port.starts_with("hostPort/"); }

  friend auto operator<=>(const ServicePortKey&, const ServicePortKey&) = default;
};

struct ServiceBackend {
  Address address;
  std::uint16_t port = 0;
  bool this_node = false;
  std::uint32_t weight = 1;

  friend auto operator<=>(const ServiceBackend&, const ServiceBackend&) = default;
};

// An address and port that clients use. A zero address of its family: any address of this node.
struct ServiceFrontend {
  Address address;
  std::uint16_t port = 0;  // 0: all others of a ClusterIP; flags has OTHER_PORTS
  std::uint8_t scope = 0;  // enum weir_service_scope
  // enum weir_service_flag; LOCAL only while somebody serves somewhere: what nobody serves is
  // rejected, not dropped.
  std::uint32_t flags = 0;
  bool local_set = false;  // the set `local`; else `cluster`

  friend auto operator<=>(const ServiceFrontend&, const ServiceFrontend&) = default;
};

// Desired content of the kernel's Service tables for one ServicePortKey. Lists are sorted; backends
// are distinct in (address, port).
struct ServicePortEntries {
  std::vector<ServiceFrontend> frontends;
  std::vector<ServiceBackend> cluster;  // that traffic policy Cluster may use
  std::vector<ServiceBackend> local;    // that traffic policy Local may use, and DSR on this node
  std::uint32_t affinity_seconds = 0;
  std::vector<Cidr> source_ranges;

  friend bool operator==(const ServicePortEntries&, const ServicePortEntries&) = default;
};

// What has changed since the last time; the whole for the first. An entry without frontends is
// gone.
using ServiceChanges = std::map<ServicePortKey, ServicePortEntries>;

// "<key> <field>=<value> ...": one line for the port, one per frontend, one per backend. For tests.
std::vector<std::string> to_lines(const ServiceChanges& changes);

}  // namespace weir
