// The parts of Dataplane that look: captures and counters.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "dataplane/dataplane.h"

namespace weir {
namespace {

// The sum over CPUs of one element of a per-CPU map, a struct of u64s.
template <typename Key, typename Value>
Value percpu_sum(int fd, const Key& key, std::vector<Value>& room) {
  Value sum{};
  if (bpf_map_lookup_elem(fd, &key, room.data()) != 0) return sum;
  for (const Value& one : room) {
    if constexpr (requires { one.packets; }) {
      sum.packets += one.packets;
      sum.bytes += one.bytes;
    } else {
      sum += one;
    }
  }
  return sum;
}

std::vector<weir_kernel_drop> keys_of(int fd) {
  std::vector<weir_kernel_drop> keys;
  weir_kernel_drop next{};
  const void* previous = nullptr;
  while (bpf_map_get_next_key(fd, previous, &next) == 0) {
    keys.push_back(next);
    previous = &keys.back();
  }
  return keys;
}

// Of the capture that runs or ran last, also under another agent.
std::uint8_t last_capture(int filter) {
  const std::uint32_t zero = 0;
  weir_capture_filter last{};
  bpf_map_lookup_elem(filter, &zero, &last);  // of an array: always there
  return last.capture;
}

// The ring may still hold packets of captures before this one, and programs that run just now may
// add some.
bool is_of_capture(std::uint8_t number, std::span<const std::byte> record) {
  weir_captured header{};
  if (record.size() < sizeof(header)) return false;
  std::memcpy(&header, record.data(), sizeof(header));
  return header.capture == number;
}

std::size_t cpus() { return static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1)); }

}  // namespace

Result<std::unique_ptr<RingReader>> Dataplane::start_capture(const weir_capture_filter& filter,
                                                             RingReader::OnRecord on_record) {
  weir_capture_filter wanted = filter;
  wanted.enabled = 1;
  wanted.capture = static_cast<std::uint8_t>(last_capture(maps_.capture_filter.get()) + 1);
  WEIR_ASSIGN(auto reader, RingReader::open(maps_.capture.get(),
                                            [number = wanted.capture,
                                             on_record = std::move(on_record)](auto record) {
                                              if (is_of_capture(number, record)) on_record(record);
                                            }));
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(maps_.capture_filter.get(), &zero, &wanted, BPF_ANY) != 0) {
    return errno_error(errno, "map weir_capture_f");
  }
  state_.set_capture(true);
  return reader;
}

void Dataplane::stop_capture() {
  state_.set_capture(false);
  const std::uint32_t zero = 0;
  weir_capture_filter none{};
  none.capture = last_capture(maps_.capture_filter.get());
  bpf_map_update_elem(maps_.capture_filter.get(), &zero, &none, BPF_ANY);
}

std::array<weir_metric, WEIR_METRICS> Dataplane::metrics() const {
  std::array<weir_metric, WEIR_METRICS> out{};
  std::vector<weir_metric> room(cpus());
  for (std::uint32_t i = 0; i < out.size(); ++i) out[i] = percpu_sum(maps_.metrics.get(), i, room);
  return out;
}

std::array<std::uint64_t, WEIR_EVENTS> Dataplane::lost() const {
  std::array<std::uint64_t, WEIR_EVENTS> out{};
  std::vector<std::uint64_t> room(cpus());
  for (std::uint32_t i = 0; i < out.size(); ++i) out[i] = percpu_sum(maps_.lost.get(), i, room);
  return out;
}

std::vector<KernelDrops> Dataplane::kernel_drops() const {
  std::vector<KernelDrops> out;
  if (settings_.kernel_drops == 0) return out;
  std::vector<weir_metric> room(cpus());
  for (std::uint32_t reason = 0; reason < WEIR_KERNEL_REASONS; ++reason) {
    const weir_metric sum = percpu_sum(maps_.kernel_drops.get(), reason, room);
    if (sum.packets != 0) out.push_back({reason, 0, sum});
  }
  const int by_pod = maps_.kernel_drops_by_pod.get();
  for (const weir_kernel_drop& key : keys_of(by_pod)) {
    const weir_metric sum = percpu_sum(by_pod, key, room);
    if (sum.packets != 0) out.push_back({key.reason, key.pod, sum});
  }
  return out;
}

void Dataplane::forget_kernel_drops(const std::function<bool(std::uint32_t pod)>& is_gone) {
  if (settings_.kernel_drops == 0) return;
  const int by_pod = maps_.kernel_drops_by_pod.get();
  for (const weir_kernel_drop& key : keys_of(by_pod)) {
    if (is_gone(key.pod)) bpf_map_delete_elem(by_pod, &key);
  }
}

std::uint64_t Dataplane::count_connections() const {
  std::uint64_t count = 0;
  weir_ct_key key{};
  weir_ct_key next{};
  const void* previous = nullptr;
  while (bpf_map_get_next_key(maps_.ct.get(), previous, &next) == 0) {
    ++count;
    key = next;
    previous = &key;
  }
  return count;
}

std::vector<MapUse> Dataplane::map_use(std::uint64_t connections) const {
  std::vector<MapUse> out;
  const auto add = [&](const char* map, std::uint64_t entries) {
    out.push_back({map, entries, capacity_of(map, settings_).value_or(0)});
  };
  add("weir_ct", connections);
  add("weir_endpoint", endpoints_.realized().size());
  add("weir_route", routes_.realized().size());
  out.push_back({"weir_device", devices_.realized().size(), WEIR_DEVICES});
  if (services_ == nullptr) return out;
  const ServiceTables::Use use = services_->tables().use();
  add("weir_service", use.rows);
  add("weir_set", use.sets);
  add("weir_backend", use.backends);
  out.push_back({"weir_ring", use.rings, settings_.ring_max});
  add("weir_srcrange", use.ranges);
  return out;
}

}  // namespace weir
