#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/port_table.h"
#include "dataplane/resting_ids.h"
#include "dataplane/service_sets.h"
#include "dataplane/service_tables.h"

namespace weir {

// What is in the kernel, and what of it could not be brought there yet.
struct ServiceState {
  ServiceState(ServiceMemory memory, ServiceRows& writer, ServiceTables::Clock time)
      : rows(writer),
        clock(time),
        row_capacity(memory.row_capacity),
        range_capacity(memory.range_capacity),
        sets(std::move(memory), std::move(time)) {}

  struct Waiting {
    ServicePortEntries entries;
    std::string text;  // why; empty: it will fit when something has rested
  };

  ServiceRows& rows;
  ServiceTables::Clock clock;
  std::uint32_t row_capacity, range_capacity;
  ServiceSets sets;
  RestingIds ids{~0U, 1024};  // rest longer: connections live on under the id that they began with
  PortTable ports;
  std::map<std::uint32_t, std::vector<weir_srcrange_key>> ranges;  // by id, sorted
  std::size_t ranges_in_kernel = 0;
  std::set<std::uint32_t> nameless;      // adopted, claimed by none yet
  std::vector<weir_service_key> strays;  // adopted rows that belong to nothing
  std::map<ServicePortKey, Waiting> waiting;

  std::size_t rows_in_kernel() const { return ports.row_count() + strays.size(); }
};

// Some Service ports on their way into the kernel. Sets come first, then rows, both new and changed
// ones, then rows go, then sets. Keys and entries outlive the round.
class ServiceRound {
 public:
  explicit ServiceRound(ServiceState& state) : state_(state) {}

  void put(const ServicePortKey& key, const ServicePortEntries& entries);
  void remove(const ServicePortKey& key);
  // A port that nobody has claimed.
  void remove_nameless(std::uint32_t id);
  std::size_t size() const { return works_.size(); }
  // Writes the rows of all that was put and removed; what has failed waits.
  void write(ServiceTables::Applied& applied);

 private:
  struct Work {
    std::uint32_t id = 0;
    const ServicePortKey* key = nullptr;          // null: nameless
    const ServicePortEntries* entries = nullptr;  // null: gone
    std::string error = {};
    bool soon = false;  // it only waits for what rests

    void fail(const Error& why);
  };
  struct Update {
    std::size_t work;
    PortRow row;
  };
  struct Erasure {
    std::size_t work;
    weir_service_key key;
  };
  using Wanted = std::vector<PortRow>;

  Port& port_for(const ServicePortKey& key, const Wanted& wanted, bool* fresh);
  Result<void> put_port(Port& port, const ServicePortEntries& entries, const Wanted& wanted);
  Result<void> check_rows(const Port& port, const Wanted& wanted) const;
  Result<void> put_sets(Port& port, const ServicePortEntries& entries, const Wanted& wanted);
  std::vector<weir_srcrange_key> missing_ranges(const Port& port,
                                                const ServicePortEntries& entries) const;
  Result<void> check_ranges(const Port& port, const ServicePortEntries& entries) const;
  Result<void> add_ranges(const Port& port, const ServicePortEntries& entries);
  void plan_rows(Port& port, const Wanted& wanted);
  void plan_erasure(const weir_service_key& key) { erasures_.push_back({works_.size(), key}); }
  weir_service value_of(const Port& port, const PortRow& row) const;

  void write_updates();
  void write_updates(std::span<const Update> batch);
  void written(const Update& update);
  void write_erasures();
  void write_erasures(std::span<const Erasure> batch);
  void finish(Work& work);
  Result<void> release(Port& port);
  Result<void> trim(Port& port, const ServicePortEntries& entries);
  void report(Work& work, ServiceTables::Applied& applied);

  ServiceState& state_;
  std::vector<Work> works_;
  std::vector<Update> updates_;
  std::vector<Erasure> erasures_;
  // Of updates_: rows that are not in the kernel yet, and those that another port has.
  std::size_t fresh_rows_ = 0, taken_rows_ = 0;
  bool changed_ = false;
  bool judged_again_ = false;
};

}  // namespace weir
