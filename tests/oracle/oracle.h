#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/endpoint_slice.h"
#include "model/node.h"
#include "model/pod.h"
#include "model/service.h"

// What Kubernetes says becomes of a connection to a Service: a second, naive evaluator, written
// from the API's documentation and kube-proxy's behaviour. Shares no code with src/compile.
namespace weir::oracle {

struct Cluster {
  std::map<ObjectKey, Node> nodes;
  std::map<ObjectKey, Pod> pods;
  std::map<ObjectKey, Service> services;
  std::map<ObjectKey, EndpointSlice> slices;
  // Seen from this node.
  std::string this_node = "n0";
  bool external_ips = true;

  bool is_this_nodes(const Address& address) const;
};

// Where a client is, seen from this node.
enum class From : std::uint8_t {
  kHere,       // a pod of this node, or the node itself
  kOtherNode,  // a pod of another one, or that node
  kOutside,
};

// A new connection, or a datagram, as it meets this node.
struct Question {
  Address source;
  From from = From::kOutside;
  Address destination;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  // By the node that the client has addressed: this one is to answer it.
  bool handed_over = false;

  std::string to_string() const;
  friend auto operator<=>(const Question&, const Question&) = default;
};

enum class Verdict : std::uint8_t {
  kNoService,      // nobody's: routed as it is
  kUnknown,        // in the range of ClusterIPs, no Service's: dropped
  kNoPort,         // a ClusterIP without this port: rejected
  kSourceRefused,  // loadBalancerSourceRanges: dropped
  kNoBackend,      // nobody serves: rejected
  kNoLocal,        // traffic policy Local, and only other nodes could serve
  kServed,
};

struct Backend {
  bool this_node = false;
  std::uint32_t weight = 1;

  friend bool operator==(const Backend&, const Backend&) = default;
};

struct Answer {
  Verdict verdict = Verdict::kNoService;
  // The Service, or the pod with the hostPort; empty: kNoService, kUnknown, kNoPort.
  ObjectKey owner = {};
  // Weights have no common divisor.
  std::map<std::pair<Address, std::uint16_t>, Backend> backends = {};
  bool may_masquerade = false;  // the backend may see another source than the client's
  // Backends on other nodes answer the client themselves: they are handed what it sends.
  bool direct_return = false;
  std::uint32_t affinity_seconds = 0;

  std::string to_string() const;
  friend bool operator==(const Answer&, const Answer&) = default;
};

Answer ask(const Cluster& cluster, const Question& question);

// The addresses and ports where the Service's author expects it, whoever gets them.
std::vector<Question> expected_places(const Cluster& cluster, const Service& service);

}  // namespace weir::oracle
