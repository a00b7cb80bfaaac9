#include "dataplane/service_maps.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "dataplane/port_table.h"

namespace weir {
namespace {

constexpr __u32 kReadBatch = 4096;  // more than ever hang on one bucket

std::uint64_t milliseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

// Programs that may be reading what an earlier agent has left a moment ago have ended then.
void wait_for_readers() { syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0); }

}  // namespace

Result<std::unique_ptr<ServiceMaps>> ServiceMaps::open(const Maps& maps, const Settings& settings) {
  struct Wanted {
    int map;
    const char* name;
    std::size_t bytes;
  };
  const Wanted wanted[] = {
      {maps.set.get(), "weir_set", settings.service_max * sizeof(weir_set)},
      {maps.backend.get(), "weir_backend", settings.backend_max * sizeof(weir_backend)},
      {maps.ring.get(), "weir_ring", settings.service_max * sizeof(weir_ring)},
      {maps.ring_slot.get(), "weir_ring_slot",
       std::size_t{ring_words(settings)} * sizeof(weir_ring_slots)},
  };
  std::vector<MappedArray> arrays;
  for (const Wanted& one : wanted) {
    WEIR_ASSIGN(auto array, MappedArray::open(one.map, one.name, one.bytes));
    arrays.push_back(std::move(array));
  }
  std::unique_ptr<ServiceMaps> out(new ServiceMaps(maps, std::move(arrays)));
  out->tables_ = std::make_unique<ServiceTables>(out->memory(settings), *out, milliseconds);
  weir_service_key any{};
  if (bpf_map_get_next_key(maps.service.get(), nullptr, &any) == 0) wait_for_readers();
  WEIR_TRY(out->tables_->adopt());
  return out;
}

ServiceMaps::ServiceMaps(const Maps& maps, std::vector<MappedArray> arrays)
    : rows_(maps.service.get(), "weir_service"),
      ranges_(maps.srcrange.get(), "weir_srcrange"),
      rows_map_(maps.service.get()),
      arrays_(std::move(arrays)) {}

ServiceMemory ServiceMaps::memory(const Settings& settings) {
  ServiceMemory out;
  out.sets = static_cast<weir_set*>(arrays_[0].data());
  out.set_capacity = settings.service_max;
  out.backends = static_cast<weir_backend*>(arrays_[1].data());
  out.backend_capacity = settings.backend_max;
  out.rings = static_cast<weir_ring*>(arrays_[2].data());
  out.ring_slots = static_cast<weir_ring_slots*>(arrays_[3].data());
  out.ring_capacity = settings.ring_max;
  out.maglev_slots = settings.maglev_slots;
  out.row_capacity = settings.service_max;
  out.range_capacity = settings.source_range_max;
  out.reach = [this](const void* from, std::size_t size) { return reach(from, size); };
  return out;
}

Result<void> ServiceMaps::reach(const void* from, std::size_t size) {
  const auto array =
      std::ranges::find_if(arrays_, [from](const MappedArray& one) { return one.holds(from); });
  return array == arrays_.end() ? Result<void>() : array->reach(from, size);
}

Result<void> ServiceMaps::update(const std::vector<weir_service>& rows, std::size_t* done) {
  std::vector<weir_service_key> keys;
  keys.reserve(rows.size());
  for (const weir_service& row : rows) keys.push_back(row.key);
  __u32 count = static_cast<__u32>(rows.size());
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = BPF_ANY);
  const int err = bpf_map_update_batch(rows_map_, keys.data(), rows.data(), &count, &options);
  *done = count;
  if (err == 0) return {};
  if (-err == E2BIG) return table_is_full("weir_service", -err);
  return errno_error(-err, "map weir_service");
}

Result<void> ServiceMaps::erase(const std::vector<weir_service_key>& keys) {
  for (std::size_t at = 0; at < keys.size();) {
    __u32 count = static_cast<__u32>(keys.size() - at);
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const int err = bpf_map_delete_batch(rows_map_, keys.data() + at, &count, &options);
    if (err != 0 && err != -ENOENT) return errno_error(-err, "map weir_service");
    at += count + (err == -ENOENT ? 1 : 0);
  }
  return {};
}

// A row under another key than its own serves nobody: its id is withheld.
Result<void> ServiceMaps::for_each(const std::function<void(const weir_service&)>& each) {
  std::vector<weir_service_key> keys(kReadBatch);
  std::vector<weir_service> rows(kReadBatch);
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  __u32 cursor = 0;
  for (bool first = true;; first = false) {
    __u32 count = kReadBatch;
    const int err = bpf_map_lookup_batch(rows_map_, first ? nullptr : &cursor, &cursor, keys.data(),
                                         rows.data(), &count, &options);
    if (err != 0 && err != -ENOENT) return errno_error(-err, "map weir_service");
    for (__u32 i = 0; i < count; ++i) {
      if (!same_key(keys[i], rows[i].key)) {
        rows[i] = {};
        rows[i].key = keys[i];
      }
      each(rows[i]);
    }
    if (err == -ENOENT) return {};
  }
}

Result<void> ServiceMaps::add_range(const weir_srcrange_key& key) { return ranges_.update(key, 1); }

Result<void> ServiceMaps::erase_range(const weir_srcrange_key& key) { return ranges_.erase(key); }

Result<void> ServiceMaps::for_each_range(
    const std::function<void(const weir_srcrange_key&)>& each) {
  return ranges_.for_each([&](const weir_srcrange_key& key, std::uint32_t) { each(key); });
}

}  // namespace weir
