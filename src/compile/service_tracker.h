#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "compile/services.h"
#include "state/service_entries.h"
#include "state/store.h"

namespace weir {

// Follows a Store and knows which Services must be compiled again: the cost of a change is that of
// the Services which it concerns. Decides who gets an address and port that several Services claim:
// the one created first, then the first by name; hostPorts win over NodePorts, never over a
// Service's own addresses. The outcome depends on the objects only, never on their order.
// Used from the thread of the store.
class ServiceTracker {
 public:
  // Listens to the store from now on; both live until the end.
  ServiceTracker(Store& store, ServiceContext context);
  ServiceTracker(const ServiceTracker&) = delete;
  ServiceTracker& operator=(const ServiceTracker&) = delete;

  bool pending() const;
  // Entries of all Service ports that changed since the last take(), the gone ones without
  // frontends.
  ServiceChanges take();
  // Contradictions among all Services, sorted.
  std::vector<std::string> conflicts() const;

  // Services with traffic policy Local (external) and a health check port: how many endpoints are
  // on this node.
  struct Health {
    ObjectKey service;
    std::uint16_t port = 0;
    std::uint32_t local_endpoints = 0;

    friend bool operator==(const Health&, const Health&) = default;
  };
  std::vector<Health> health() const;

  const ServiceContext& context() const { return context_; }
  // The slices of a Service, from an index.
  std::vector<const EndpointSlice*> slices_of(const ObjectKey& service) const;

 private:
  Store& store_;
  ServiceContext context_;
};

}  // namespace weir
