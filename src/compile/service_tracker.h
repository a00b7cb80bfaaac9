#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/pointer_index.h"
#include "compile/ranges.h"
#include "compile/service_claims.h"
#include "compile/services.h"
#include "state/service_entries.h"
#include "state/store.h"

namespace weir {

// Follows a Store and knows which Services must be compiled again: the cost of a change is that of
// the Services which it concerns. Decides who gets an address and port that several want, by
// ServiceClaims, and refuses addresses of pods, and ClusterIPs that are a node's.
// The outcome depends on the objects only, never on their order.
// Used from the thread of the store.
class ServiceTracker {
 public:
  static constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

  // Takes in what the store has, and listens to it from now on; both live until the end. The
  // context's zone and weight are found in the store.
  ServiceTracker(Store& store, ServiceContext context);
  ServiceTracker(const ServiceTracker&) = delete;
  ServiceTracker& operator=(const ServiceTracker&) = delete;

  bool pending() const;
  // Entries of the Service ports that changed since the last take(), the gone ones without
  // frontends; some that did not change may be among them. `most` bounds the Services at a time,
  // and so memory: while pending() there is more. An address that goes from one Service to another
  // does so within one take().
  ServiceChanges take(std::size_t most = kAll);
  // Contradictions among all objects, and what cannot be served as written; sorted. As of take().
  std::vector<std::string> conflicts() const;

  // Those about one Service, as of take().
  std::vector<std::string> complaints(const ObjectKey& service) const;
  // Why the Service is not to be had at a place that it wants, one sentence; empty: it is.
  std::string refusal(const Service& service, const Claim& claim) const;

  // Services with traffic policy Local (external) and a health check port: how many ready endpoints
  // are on this node.
  struct Health {
    ObjectKey service;
    std::uint16_t port = 0;
    std::uint32_t local_endpoints = 0;

    friend bool operator==(const Health&, const Health&) = default;
  };
  std::vector<Health> health() const;

  const ServiceContext& context() const { return context_; }
  // The slices of a Service, by name.
  std::vector<EndpointSlice> slices_of(const ObjectKey& service) const;
  // How many Services were compiled so far.
  std::uint64_t compiled() const { return compiled_; }

 private:
  using ServiceRow = PackedRow<Service>;

  void change(const RowChange<Node>& row);
  void change(const RowChange<Namespace>&) {}
  void change(const RowChange<Pod>& row);
  void change(const RowChange<PodEndpoint>& row) { change_weight(row); }
  void change(const RowChange<Service>& row);
  void change(const RowChange<EndpointSlice>& row);
  void change(const RowChange<Endpoint>& row);

  // A Pod object comes or goes: its ports are those that count, or its sandbox's.
  void change_sandboxes_of(const RowChange<Pod>& row);
  void replace_host_ports(const Pod* before, const Pod* after, const Pod* row);
  template <typename T>
  void change_weight(const RowChange<T>& row);
  std::uint32_t weight_of(const ObjectKey& pod) const;
  void mark(const ObjectKey& service);
  void mark(const ServiceClaims::Rivals& rivals);
  void mark_all();
  // For keys of `before` that `after` has no more.
  void mark_gone(const std::vector<ServicePortKey>& before,
                 const std::vector<ServicePortKey>& after);
  bool has_host_ports_here(const Pod* pod) const {
    return pod != nullptr && pod->node == context_.node && !pod->host_ports.empty();
  }

  // What changed by more than one Service's own objects becomes marks.
  void settle();
  void mark_services_inside(const NodeRanges& ranges);
  void mark_services_of(const std::set<ObjectKey>& pods);

  void compile(const Service& service, ServiceChanges& out);
  void compile(const Pod& pod, ServiceChanges& out);

  Store& store_;
  ServiceContext context_;
  PointerIndex<PackedRow<EndpointSlice>> slices_;  // by hash of the Service's key
  NodeRanges ranges_;
  ServiceClaims claims_;
  std::map<ObjectKey, std::uint32_t> weights_;  // of pods whose weight is not 1
  std::set<const ServiceRow*> health_checked_;
  // By handle: sandboxes whose runtime asked for ports, as pods.
  struct Sandbox {
    ObjectKey object;  // the Pod object that would count instead
    Pod pod;
    bool counts = false;
  };
  std::map<std::uint32_t, Sandbox> sandboxes_;

  // What the next take() has to do.
  std::unordered_set<const ServiceRow*> dirty_;
  std::vector<const ServiceRow*> contested_;  // of those, what others gave up or took
  std::set<const Pod*> dirty_pods_;
  std::set<ServicePortKey> gone_;
  NodeRanges changed_ranges_;
  std::set<ObjectKey> changed_weights_;

  std::map<ObjectKey, std::vector<std::string>> complaints_;      // by Service
  std::map<ObjectKey, std::vector<std::string>> pod_complaints_;  // by pod
  std::uint64_t compiled_ = 0;
};

}  // namespace weir
