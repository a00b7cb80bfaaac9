#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "abi/service.h"
#include "state/service_entries.h"

namespace weir {

// A row of weir_service as it stands in the kernel.
struct PortRow {
  // Beside enum weir_service_flag:
  static constexpr std::uint32_t kLocalSet = 1U << 30;  // names the port's local set
  static constexpr std::uint32_t kStale = 1U << 31;     // is not as the rest of the port says

  weir_service_key key;
  std::uint32_t flags;

  // Does it name the port's set of this index (Port::sets)?
  bool names(std::size_t index) const {
    if ((flags & WEIR_SERVICE_OTHER_PORTS) != 0) return false;
    return index == 1 ? (flags & (kLocalSet | WEIR_SERVICE_DSR)) != 0 : (flags & kLocalSet) == 0;
  }
};

// What is known of a Service port in the kernel. Small: there are 10^5 of them.
class Port {
 public:
  std::uint32_t id = 0;
  std::array<std::uint32_t, 2> sets{};  // cluster, local; 0: none
  std::uint32_t affinity_s = 0;

  // Of an earlier run, and nobody has said yet whose.
  bool nameless() const { return !named_; }
  ServicePortKey key() const;
  bool is(const ServicePortKey& key) const;
  std::span<const PortRow> rows() const { return {rows_.get(), row_count_}; }
  std::span<PortRow> rows() { return {rows_.get(), row_count_}; }

 private:
  friend class PortTable;

  std::unique_ptr<PortRow[]> rows_;
  std::unique_ptr<char[]> text_;  // namespace, name, port
  std::uint32_t row_count_ = 0;
  std::uint16_t namespace_size_ = 0;
  std::uint16_t name_size_ = 0;
  std::uint16_t port_size_ = 0;
  std::uint8_t protocol_ = 0;
  std::uint8_t family_ : 7 = 0;
  bool named_ : 1 = false;
};

// Hash -> ids, several of which may share one. Eight bytes a place.
class IdIndex {
 public:
  void insert(std::uint32_t hash, std::uint32_t id);
  void erase(std::uint32_t hash, std::uint32_t id);
  // The first id under `hash` that `is` accepts; 0: none.
  template <typename Is>
  std::uint32_t find(std::uint32_t hash, const Is& is) const {
    if (places_.empty()) return 0;
    for (std::size_t at = home(hash); places_[at].id != 0; at = next(at)) {
      if (places_[at].hash == hash && is(places_[at].id)) return places_[at].id;
    }
    return 0;
  }
  std::size_t size() const { return size_; }

 private:
  struct Place {
    std::uint32_t hash, id;
  };

  std::size_t home(std::uint32_t hash) const { return hash & (places_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (places_.size() - 1); }
  void resize(std::size_t size);

  std::vector<Place> places_;
  std::size_t size_ = 0;
};

// All Service ports in the kernel by id, by key, and by row: a row belongs to one port.
class PortTable {
 public:
  // nullptr: none.
  Port* find(const ServicePortKey& key);
  const Port* find(const ServicePortKey& key) const;
  Port* by_id(std::uint32_t id);
  const Port* by_id(std::uint32_t id) const;
  Port* owner(const weir_service_key& row);

  // REQUIRES: the id is not in use.
  Port& create(std::uint32_t id);
  // REQUIRES: the port is nameless; the parts of the key are at most 65535 long.
  void name(Port& port, const ServicePortKey& key);
  void erase(Port& port);

  // The row's owner becomes `port`; one that it has already is replaced.
  void put_row(Port& port, const PortRow& row);
  void drop_row(Port& port, const weir_service_key& row);

  std::size_t row_count() const { return by_row_.size(); }
  std::size_t size() const { return size_; }
  void for_each(const std::function<void(const Port&)>& each) const;

 private:
  std::deque<Port> ports_;  // by id; 0: none
  IdIndex by_key_;
  IdIndex by_row_;
  std::size_t size_ = 0;
};

bool same_key(const weir_service_key& a, const weir_service_key& b);

}  // namespace weir
