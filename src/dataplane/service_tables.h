#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "abi/service.h"
#include "base/result.h"
#include "state/service_entries.h"

namespace weir {

// Memory of the kernel's arrays, as mapped into the agent, on 8-byte boundaries. Index 0 of sets
// and backends is never used.
struct ServiceMemory {
  weir_set* sets = nullptr;
  std::uint32_t set_capacity = 0;
  weir_backend* backends = nullptr;
  std::uint32_t backend_capacity = 0;
  weir_ring* rings = nullptr;  // as many as sets
  weir_ring_slots* ring_slots = nullptr;
  std::uint32_t ring_capacity = 0;  // rings that fit
  std::uint32_t maglev_slots = 0;   // of one ring
  std::uint32_t row_capacity = 0;   // of the tables that ServiceRows writes
  std::uint32_t range_capacity = 0;
  // Asked before memory is touched for the first time; without one, all of it may be.
  std::function<Result<void>(const void* from, std::size_t size)> reach;
};

// The hash and trie tables, behind an interface that tests fake.
class ServiceRows {
 public:
  virtual ~ServiceRows() = default;
  // The first error is returned; *done is how many were written before it.
  virtual Result<void> update(const std::vector<weir_service>& rows, std::size_t* done) = 0;
  // Absent keys are fine. After an error some are gone, others not.
  virtual Result<void> erase(const std::vector<weir_service_key>& keys) = 0;
  virtual Result<void> for_each(const std::function<void(const weir_service&)>& each) = 0;
  virtual Result<void> add_range(const weir_srcrange_key& key) = 0;
  virtual Result<void> erase_range(const weir_srcrange_key& key) = 0;
  virtual Result<void> for_each_range(
      const std::function<void(const weir_srcrange_key&)>& each) = 0;
};

// The Service tables of the kernel: gives ids, sets and extents, writes an update beside what is in
// use and flips it by one word. What lies in the tables from an earlier run is taken over with its
// ids. What does not fit is refused for the Service port concerned, whose earlier state stays.
class ServiceTables {
 public:
  using Clock = std::function<std::uint64_t()>;  // milliseconds, monotonic

  ServiceTables(ServiceMemory memory, ServiceRows& rows, Clock clock);
  ~ServiceTables();

  // Reads what an earlier run has written.
  Result<void> adopt();

  struct Applied {
    bool changed = false;  // anything was written
    // A row went, changed its set, or is new and not of TCP; or a set lost a backend: connections
    // must be judged again (epoch).
    bool judged_again = false;
    // One sentence each: Service port, need, setting. Those ports keep their earlier state and are
    // tried again by retry(); a sentence that was said already is not repeated.
    std::vector<std::string> refused;
  };
  Applied apply(const ServiceChanges& changes);
  // Tries again what was refused, failed, or waits for what rests: at most a second, then.
  Applied retry();
  bool waiting() const;
  // Adopted rows that no apply() has claimed go. Called after the first complete list.
  Applied prune();
  // All that is refused now, and what is served in a lesser way (without a ring); sorted.
  std::vector<std::string> complaints() const;
  // Why this one is refused; empty: it is not.
  std::string complaint(const ServicePortKey& key) const;

  struct Use {
    std::uint64_t rows = 0, backends = 0, sets = 0, rings = 0;  // backends: slots in use
    std::uint64_t ranges = 0;
  };
  Use use() const;
  // 0: none such. For names of what events tell, and for `weir services`.
  std::uint32_t id_of(const ServicePortKey& key) const;
  std::optional<ServicePortKey> port_of(std::uint32_t id) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir
