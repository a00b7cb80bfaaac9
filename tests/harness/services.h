#pragma once

#include <cstdint>
#include <vector>

#include "abi/service.h"
#include "harness/bed.h"

namespace weir {

// A Service's rows and backends, written straight into the kernel's tables: what the programs do is
// tested apart from what the agent writes.
class TestServices {
 public:
  struct Backend {
    Address address;
    std::uint16_t port;
  };
  // One row and its set. Zero address: any of the node's.
  struct Row {
    Address vip;
    std::uint16_t port;
    int proto = 6;
    std::vector<Backend> backends = {};
    std::uint32_t flags = 0;
    std::uint32_t affinity_s = 0;
    std::uint8_t scope = WEIR_SCOPE_ANY;
    std::vector<Backend> local = {};  // DSR: those on this node
  };

  explicit TestServices(Bed& bed) : bed_(bed) {}

  // Returns the id, which is the set, too.
  std::uint32_t add(const Row& row);
  // The set gets another extent, as the agent would: written beside, flipped, published.
  void set_backends(std::uint32_t id, const std::vector<Backend>& backends);
  void remove(const Row& row);
  void add_range(std::uint32_t id, const Cidr& clients);
  // A ring whose slots all lead to this backend of the set's extent.
  void set_ring(std::uint32_t id, std::uint32_t index);
  void publish() { bed_.plane().routes_changed(); }

  static Address any(Family family) { return family == Family::kIpv4 ? Address::v4(0) : Address(); }

 private:
  void write(const char* map, const void* key, const void* value);

  Bed& bed_;
  std::uint32_t next_id_ = 1;
  std::uint32_t next_slot_ = 1;               // 0 is never used
  std::vector<std::uint32_t> offsets_ = {0};  // by id
};

}  // namespace weir
