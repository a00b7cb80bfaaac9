#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "dataplane/mapped_array.h"
#include "dataplane/programs.h"
#include "dataplane/service_tables.h"
#include "dataplane/settings.h"
#include "dataplane/table.h"

namespace weir {

// The pinned maps of Services behind ServiceTables.
class ServiceMaps final : public ServiceRows {
 public:
  // maps outlive the object.
  static Result<std::unique_ptr<ServiceMaps>> open(const Maps& maps, const Settings& settings);

  ServiceTables& tables() { return *tables_; }
  const ServiceTables& tables() const { return *tables_; }

  Result<void> update(const std::vector<weir_service>& rows, std::size_t* done) override;
  Result<void> erase(const std::vector<weir_service_key>& keys) override;
  Result<void> for_each(const std::function<void(const weir_service&)>& each) override;
  Result<void> add_range(const weir_srcrange_key& key) override;
  Result<void> erase_range(const weir_srcrange_key& key) override;
  Result<void> for_each_range(const std::function<void(const weir_srcrange_key&)>& each) override;

 private:
  ServiceMaps(const Maps& maps, std::vector<MappedArray> arrays);
  ServiceMemory memory(const Settings& settings);
  Result<void> reach(const void* from, std::size_t size);

  Table<weir_service_key, weir_service> rows_;
  Table<weir_srcrange_key, std::uint32_t> ranges_;
  int rows_map_;
  std::vector<MappedArray> arrays_;  // sets, backends, rings, slots of rings
  std::unique_ptr<ServiceTables> tables_;
};

}  // namespace weir
