#include "harness/services.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include <algorithm>
#include <stdexcept>

#include "dataplane/maglev.h"

namespace weir {
namespace {

weir_service_key key_of_row(const TestServices::Row& row) {
  weir_service_key key{};
  key.vip = to_abi(row.vip);
  key.port = htons(row.port);
  key.proto = static_cast<std::uint8_t>(row.proto);
  key.scope = row.scope;
  return key;
}

}  // namespace

void TestServices::write(const char* map, const void* key, const void* value) {
  if (bpf_map_update_elem(bed_.pinned_map(map), key, value, BPF_ANY) != 0)
    throw std::runtime_error(map);
}

void TestServices::set_backends(std::uint32_t id, const std::vector<Backend>& backends) {
  auto sorted = backends;
  std::ranges::sort(sorted, [](const Backend& a, const Backend& b) {
    return std::pair(a.address, a.port) < std::pair(b.address, b.port);
  });
  const weir_set extent{.offset = next_slot_, .count = static_cast<std::uint32_t>(sorted.size())};
  for (const Backend& one : sorted) {
    weir_backend backend{};
    backend.addr = to_abi(one.address);
    backend.port = htons(one.port);
    backend.set = id;
    backend.hash = slot_hash(backend.addr, backend.port, 0);
    write("weir_backend", &next_slot_, &backend);
    ++next_slot_;
  }
  write("weir_set", &id, &extent);
  offsets_.resize(std::max<std::size_t>(offsets_.size(), id + 1));
  offsets_[id] = extent.offset;
  publish();
}

std::uint32_t TestServices::add(const Row& row) {
  const std::uint32_t id = next_id_++;
  set_backends(id, row.backends);
  weir_service value{};
  value.key = key_of_row(row);
  value.id = value.set = id;
  value.flags = row.flags;
  value.affinity_s = row.affinity_s;
  if (!row.local.empty()) {
    value.local_set = next_id_++;
    set_backends(value.local_set, row.local);
  }
  write("weir_service", &value.key, &value);
  publish();
  return id;
}

void TestServices::remove(const Row& row) {
  const weir_service_key key = key_of_row(row);
  bpf_map_delete_elem(bed_.pinned_map("weir_service"), &key);
  publish();
}

void TestServices::add_range(std::uint32_t id, const Cidr& clients) {
  weir_srcrange_key key{};
  key.prefixlen = 32 + static_cast<std::uint32_t>(clients.mapped_bits());
  key.service = id;
  key.addr = to_abi(clients.address());
  const std::uint32_t one = 1;
  write("weir_srcrange", &key, &one);
}

void TestServices::set_ring(std::uint32_t id, std::uint32_t index) {
  const std::uint32_t backend = offsets_.at(id) + index;
  const weir_ring_slots slots{.backend = {backend, backend}};
  const std::uint32_t words = (Settings().maglev_slots + 1) / 2;
  for (std::uint32_t word = 0; word < words; ++word) write("weir_ring_slot", &word, &slots);
  const weir_ring ring{.offset = 0, .set = id};
  write("weir_ring", &id, &ring);
}

}  // namespace weir
