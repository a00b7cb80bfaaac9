#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/health.h"
#include "api/services.h"
#include "compile/service_tracker.h"
#include "observe/service_counters.h"
#include "state/store.h"

namespace weir {

// Services as a person wants to see them: each frontend, each backend, and why one is not used.
// Asks the same code that decides.
class ServiceView {
 public:
  // What the kernel's tables have.
  struct Tables {
    std::function<std::uint32_t(const ServicePortKey&)> id_of;  // 0: it is not there
    // Why its latest state is not there, one sentence; empty: it is.
    std::function<std::string(const ServicePortKey&)> complaint;
  };

  // All live as long.
  ServiceView(const Store& store, const ServiceTracker& tracker, const HealthServers& health,
              const ServiceCounters& counters, Tables tables)
      : store_(store),
        tracker_(tracker),
        health_(health),
        counters_(counters),
        tables_(std::move(tables)) {}

  // See api::Backend.
  std::vector<api::ServiceInfo> list(const ObjectKey& after, std::size_t most,
                                     const api::ServiceUse& use) const;
  Result<api::ServiceInfo> one(const ObjectKey& key, const api::ServiceUse& use) const;

 private:
  std::vector<std::string> notes_of(const Service& service) const;
  api::ServiceInfo describe(const Service& service, const api::ServiceUse& use) const;
  api::ServicePortInfo describe_port(const Service& service, std::uint16_t index, Family family,
                                     const api::ServiceUse& use) const;
  std::vector<api::ServiceFrontendInfo> frontends(const Service& service, std::uint16_t index,
                                                  Family family) const;
  api::ServiceHealthInfo health_of(const Service& service) const;

  const Store& store_;
  const ServiceTracker& tracker_;
  const HealthServers& health_;
  const ServiceCounters& counters_;
  Tables tables_;
};

}  // namespace weir
