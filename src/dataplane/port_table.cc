#include "dataplane/port_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <tuple>

namespace weir {
namespace {

std::uint32_t hash_of(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = std::hash<std::string_view>()(bytes) + seed * 0x9e3779b97f4a7c15ULL;
  hash ^= hash >> 32;
  return static_cast<std::uint32_t>(hash * 0x9e3779b1U);
}

std::uint32_t hash_of(const ServicePortKey& key) {
  const auto kind =
      static_cast<std::uint64_t>(key.protocol) << 8 | static_cast<std::uint64_t>(key.family);
  std::uint32_t hash = hash_of(key.object.namespace_, kind);
  hash = hash_of(key.object.name, hash);
  return hash_of(key.port, hash);
}

std::uint32_t hash_of(const weir_service_key& key) {
  return hash_of({reinterpret_cast<const char*>(&key), sizeof key}, 0);
}

}  // namespace

bool same_key(const weir_service_key& a, const weir_service_key& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// --- Port ----------------------------------------------------------------------------------------

ServicePortKey Port::key() const {
  const char* text = text_.get();
  ServicePortKey out;
  out.object.namespace_.assign(text, namespace_size_);
  out.object.name.assign(text + namespace_size_, name_size_);
  out.port.assign(text + namespace_size_ + name_size_, port_size_);
  out.protocol = static_cast<Protocol>(protocol_);
  out.family = static_cast<Family>(family_);
  return out;
}

bool Port::is(const ServicePortKey& key) const {
  if (!named_ || protocol_ != static_cast<std::uint8_t>(key.protocol) ||
      family_ != static_cast<std::uint8_t>(key.family)) {
    return false;
  }
  const char* text = text_.get();
  return std::string_view(text, namespace_size_) == key.object.namespace_ &&
         std::string_view(text + namespace_size_, name_size_) == key.object.name &&
         std::string_view(text + namespace_size_ + name_size_, port_size_) == key.port;
}

// --- IdIndex -------------------------------------------------------------------------------------

void IdIndex::resize(std::size_t size) {
  const auto old = std::exchange(places_, std::vector<Place>(size));
  size_ = 0;
  for (const Place& place : old) {
    if (place.id != 0) insert(place.hash, place.id);
  }
}

void IdIndex::insert(std::uint32_t hash, std::uint32_t id) {
  if ((size_ + 1) * 5 > places_.size() * 4) resize(std::max<std::size_t>(places_.size() * 2, 64));
  std::size_t at = home(hash);
  while (places_[at].id != 0) at = next(at);
  places_[at] = {hash, id};
  ++size_;
}

// What follows moves up, so that no search stops early.
void IdIndex::erase(std::uint32_t hash, std::uint32_t id) {
  if (places_.empty()) return;
  std::size_t at = home(hash);
  while (places_[at].id != 0 && (places_[at].id != id || places_[at].hash != hash)) at = next(at);
  if (places_[at].id == 0) return;
  --size_;
  for (std::size_t later = next(at); places_[later].id != 0; later = next(later)) {
    const std::size_t distance = (later - home(places_[later].hash)) & (places_.size() - 1);
    if (distance < ((later - at) & (places_.size() - 1))) continue;
    places_[at] = places_[later];
    at = later;
  }
  places_[at] = {};
}

// --- PortTable -----------------------------------------------------------------------------------

const Port* PortTable::by_id(std::uint32_t id) const {
  if (id == 0 || id > ports_.size() || ports_[id - 1].id == 0) return nullptr;
  return &ports_[id - 1];
}

Port* PortTable::by_id(std::uint32_t id) {
  return const_cast<Port*>(std::as_const(*this).by_id(id));
}

const Port* PortTable::find(const ServicePortKey& key) const {
  return by_id(by_key_.find(hash_of(key), [&](std::uint32_t id) { return by_id(id)->is(key); }));
}

Port* PortTable::find(const ServicePortKey& key) {
  return const_cast<Port*>(std::as_const(*this).find(key));
}

Port* PortTable::owner(const weir_service_key& row) {
  return by_id(by_row_.find(hash_of(row), [&](std::uint32_t id) {
    return std::ranges::any_of(by_id(id)->rows(),
                               [&](const PortRow& own) { return same_key(own.key, row); });
  }));
}

Port& PortTable::create(std::uint32_t id) {
  if (id > ports_.size()) ports_.resize(id);
  Port& port = ports_[id - 1];
  port.id = id;
  ++size_;
  return port;
}

void PortTable::name(Port& port, const ServicePortKey& key) {
  const auto& [object, port_name, protocol, family] = key;
  port.text_ =
      std::make_unique<char[]>(object.namespace_.size() + object.name.size() + port_name.size());
  char* text = port.text_.get();
  text = std::ranges::copy(object.namespace_, text).out;
  text = std::ranges::copy(object.name, text).out;
  std::ranges::copy(port_name, text);
  port.namespace_size_ = static_cast<std::uint16_t>(object.namespace_.size());
  port.name_size_ = static_cast<std::uint16_t>(object.name.size());
  port.port_size_ = static_cast<std::uint16_t>(port_name.size());
  port.protocol_ = static_cast<std::uint8_t>(protocol);
  port.family_ = static_cast<std::uint8_t>(family) & 0x7f;
  port.named_ = true;
  by_key_.insert(hash_of(key), port.id);
}

void PortTable::erase(Port& port) {
  for (const PortRow& row : port.rows()) by_row_.erase(hash_of(row.key), port.id);
  if (port.named_) by_key_.erase(hash_of(port.key()), port.id);
  port = Port();
  --size_;
}

void PortTable::put_row(Port& port, const PortRow& row) {
  if (Port* before = owner(row.key)) {
    if (before == &port) {
      for (PortRow& own : port.rows()) {
        if (same_key(own.key, row.key)) own = row;
      }
      return;
    }
    drop_row(*before, row.key);
  }
  auto rows = std::make_unique<PortRow[]>(port.row_count_ + 1);
  std::ranges::copy(port.rows(), rows.get());
  rows[port.row_count_++] = row;
  port.rows_ = std::move(rows);
  by_row_.insert(hash_of(row.key), port.id);
}

void PortTable::drop_row(Port& port, const weir_service_key& row) {
  const auto own =
      std::ranges::find_if(port.rows(), [&](const PortRow& one) { return same_key(one.key, row); });
  if (own == port.rows().end()) return;
  by_row_.erase(hash_of(row), port.id);
  auto rows = std::make_unique<PortRow[]>(port.row_count_ - 1);
  const auto kept = std::copy(port.rows().begin(), own, rows.get());
  std::copy(std::next(own), port.rows().end(), kept);
  --port.row_count_;
  port.rows_ = std::move(rows);
}

void PortTable::for_each(const std::function<void(const Port&)>& each) const {
  for (const Port& port : ports_) {
    if (port.id != 0) each(port);
  }
}

}  // namespace weir
