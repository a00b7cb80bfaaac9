#include "sandbox/pool.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {
namespace {

// In a pool that is never full, rested addresses beyond this many count as never used again.
constexpr std::size_t kMaxRemembered = 4096;

std::uint64_t skipped_at_start(const Cidr& cidr) { return cidr.size() < 4 ? cidr.size() : 2; }

std::uint64_t usable(const Cidr& cidr) {
  const std::uint64_t last = cidr.address().is_v4() && cidr.size() >= 4 ? 1 : 0;
  return cidr.size() - skipped_at_start(cidr) - last;
}

// The last 64 bits: enough to tell how far apart two addresses of one pool are.
std::uint64_t low_bits(const Address& address) {
  std::uint64_t value = 0;
  for (std::size_t i = 8; i < 16; ++i) value = value << 8 | address.bytes()[i];
  return value;
}

}  // namespace

CidrPool::CidrPool(const Cidr& cidr, Options options)
    : cidr_(cidr),
      options_(std::move(options)),
      first_(cidr.address().plus(skipped_at_start(cidr))),
      size_(usable(cidr)) {}

bool CidrPool::gives(const Address& address) const {
  return size_ > 0 && cidr_.contains(address) && address >= first_ &&
         address <= first_.plus(size_ - 1);
}

bool CidrPool::is_fresh(const Address& address) const {
  return !by_address_.contains(address) && !freed_keys_.contains(address);
}

bool CidrPool::rests(std::uint64_t freed_ns) const {
  return options_.now() < freed_ns + options_.rest_ns;
}

Result<Address> CidrPool::take(const std::string& owner, const Address& address) {
  forget_freed(address);
  by_owner_.emplace(owner, address);
  by_address_.emplace(address, owner);
  return address;
}

Result<Address> CidrPool::allocate(const std::string& owner,
                                   const std::optional<Address>& requested) {
  if (const auto held = by_owner_.find(owner); held != by_owner_.end()) {
    if (!requested || *requested == held->second) return held->second;
    return Error(Code::kExists, fmt::format("{} already has {}, not {}", owner,
                                            held->second.to_string(), requested->to_string()));
  }
  if (requested) return allocate_requested(owner, *requested);
  if (const auto fresh = next_fresh()) return take(owner, *fresh);
  if (freed_.empty()) return exhausted();
  const auto [key, address] = *freed_.begin();
  if (rests(key.first)) {
    ++reused_early_;
    const std::uint64_t age_ms = (options_.now() - std::min(options_.now(), key.first)) / 1'000'000;
    options_.note(fmt::format("pool {} has no rested address left: {} is used again after {} ms",
                              cidr_.to_string(), address.to_string(), age_ms));
  }
  return take(owner, Address(address));
}

Result<Address> CidrPool::allocate_requested(const std::string& owner, const Address& address) {
  if (!gives(address)) {
    return Error(Code::kInvalid, fmt::format("{} is not an address that pool {} gives",
                                             address.to_string(), cidr_.to_string()));
  }
  if (const auto other = by_address_.find(address); other != by_address_.end()) {
    return Error(Code::kExists,
                 fmt::format("{} belongs to {}", address.to_string(), other->second));
  }
  const auto freed = freed_keys_.find(address);
  if (freed != freed_keys_.end() && rests(freed->second.first)) {
    return Error(Code::kUnavailable,
                 fmt::format("{} was freed less than {} s ago", address.to_string(),
                             options_.rest_ns / 1'000'000'000));
  }
  return take(owner, address);
}

std::optional<Address> CidrPool::next_fresh() {
  while (cursor_ < size_) {
    const Address address = first_.plus(cursor_);
    if (is_fresh(address)) return address;
    ++cursor_;
  }
  return std::nullopt;
}

bool CidrPool::release(const std::string& owner) {
  const auto held = by_owner_.find(owner);
  if (held == by_owner_.end()) return false;
  const Address address = held->second;
  by_owner_.erase(held);
  by_address_.erase(address);
  if (gives(address)) add_freed(address, options_.now());
  return true;
}

void CidrPool::add_freed(const Address& address, std::uint64_t freed_ns) {
  const FreedKey key{freed_ns, serial_++};
  freed_.emplace(key, address);
  freed_keys_.emplace(address, key);
  if (freed_.size() <= kMaxRemembered || rests(freed_.begin()->first.first)) return;
  const Address oldest = freed_.begin()->second;
  forget_freed(oldest);
  cursor_ = std::min(cursor_, low_bits(oldest) - low_bits(first_));
}

void CidrPool::forget_freed(const Address& address) {
  const auto found = freed_keys_.find(address);
  if (found == freed_keys_.end()) return;
  freed_.erase(found->second);
  freed_keys_.erase(found);
}

Result<void> CidrPool::restore(const std::string& owner, const Address& address) {
  const auto [held, is_new] = by_owner_.try_emplace(owner, address);
  const auto other = by_address_.find(address);
  const bool clash = other != by_address_.end() && other->second != owner;
  if (held->second != address || clash) {
    if (is_new) by_owner_.erase(held);
    return Error(Code::kExists,
                 fmt::format("{} cannot be given back to {}: {}", address.to_string(), owner,
                             clash ? "it belongs to " + other->second
                                   : "it has " + held->second.to_string()));
  }
  by_address_.emplace(address, owner);
  forget_freed(address);
  return {};
}

PoolUse CidrPool::use() const {
  return {cidr_.to_string(), size_, by_owner_.size(), resting().size(), reused_early_};
}

std::vector<FreedAddress> CidrPool::resting() const {
  std::vector<FreedAddress> found;
  for (const auto& [key, address] : freed_) {
    if (rests(key.first)) found.push_back({address, key.first});
  }
  return found;
}

void CidrPool::restore_resting(const std::vector<FreedAddress>& freed) {
  for (const auto& [address, freed_ns] : freed) {
    if (gives(address) && is_fresh(address)) add_freed(address, std::min(freed_ns, options_.now()));
  }
}

Error CidrPool::exhausted() const {
  const auto now = use();
  return Error(Code::kUnavailable,
               fmt::format("address pool {} is exhausted: {} addresses, {} used, {} resting",
                           now.range, now.size, now.used, now.resting));
}

}  // namespace weir
