#include "dataplane/service_round.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "dataplane/service_slots.h"
#include "state/entries.h"

namespace weir {
namespace {

constexpr std::size_t kBatch = 512;  // rows in one system call
constexpr std::size_t kLongestName = 65535;
constexpr std::uint8_t kTcp = 6;

bool less(const weir_srcrange_key& a, const weir_srcrange_key& b) {
  return std::memcmp(&a, &b, sizeof a) < 0;
}

std::uint32_t set_of(const Port& port, std::uint32_t flags) {
  if ((flags & WEIR_SERVICE_OTHER_PORTS) != 0) return 0;
  return port.sets[(flags & PortRow::kLocalSet) != 0 ? 1 : 0];
}

std::vector<PortRow> rows_of(const ServicePortKey& key, const ServicePortEntries& entries) {
  std::vector<PortRow> out;
  out.reserve(entries.frontends.size());
  for (const ServiceFrontend& one : entries.frontends) {
    PortRow row{};
    row.key.vip = to_abi(one.address);
    row.key.port = htons(one.port);
    const bool other_ports = (one.flags & WEIR_SERVICE_OTHER_PORTS) != 0;
    row.key.proto = other_ports ? 0 : static_cast<std::uint8_t>(key.protocol);
    row.key.scope = one.scope;
    row.flags = one.flags | (one.local_set ? PortRow::kLocalSet : 0);
    out.push_back(row);
  }
  return out;
}

std::vector<weir_srcrange_key> ranges_of(std::uint32_t id, const ServicePortEntries& entries) {
  std::vector<weir_srcrange_key> out;
  for (const Cidr& cidr : entries.source_ranges) {
    weir_srcrange_key key{};
    key.prefixlen = 32 + static_cast<std::uint32_t>(cidr.mapped_bits());
    key.service = id;
    key.addr = to_abi(cidr.address());
    out.push_back(key);
  }
  std::ranges::sort(out, less);
  const auto twice = std::ranges::unique(
      out, [](const auto& a, const auto& b) { return std::memcmp(&a, &b, sizeof a) == 0; });
  out.erase(twice.begin(), twice.end());
  return out;
}

template <typename Row, typename Rows>
const Row* find_row(const Rows& rows, const weir_service_key& key) {
  const auto found =
      std::ranges::find_if(rows, [&](const auto& row) { return same_key(row.key, key); });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

void ServiceRound::Work::fail(const Error& why) {
  if (!error.empty() && !soon) return;
  error = why.text();
  soon = why.code() == Code::kUnavailable;
}

// --- planning ------------------------------------------------------------------------------------

void ServiceRound::put(const ServicePortKey& key, const ServicePortEntries& entries) {
  const auto wanted = rows_of(key, entries);
  Work work{.key = &key, .entries = &entries};
  const std::size_t longest =
      std::max({key.object.namespace_.size(), key.object.name.size(), key.port.size()});
  if (longest > kLongestName) {
    work.fail(Error(Code::kInvalid, "its name is too long"));
  } else {
    bool fresh = false;
    Port& port = port_for(key, wanted, &fresh);
    work.id = port.id;
    if (auto done = put_port(port, entries, wanted); !done) work.fail(done.error());
    if (!work.error.empty() && fresh && port.sets == std::array<std::uint32_t, 2>{}) {
      state_.ids.give_back(port.id);
      state_.ports.erase(port);
      work.id = 0;
    }
  }
  works_.push_back(std::move(work));
}

// Its own, or an adopted one that had one of its rows, or a new one.
Port& ServiceRound::port_for(const ServicePortKey& key, const Wanted& wanted, bool* fresh) {
  if (Port* known = state_.ports.find(key)) return *known;
  for (const PortRow& row : wanted) {
    Port* owner = state_.ports.owner(row.key);
    if (owner == nullptr || !owner->nameless()) continue;
    state_.nameless.erase(owner->id);
    state_.ports.name(*owner, key);
    return *owner;
  }
  *fresh = true;
  Port& port = state_.ports.create(state_.ids.take(state_.clock()).value());
  state_.ports.name(port, key);
  return port;
}

Result<void> ServiceRound::put_port(Port& port, const ServicePortEntries& entries,
                                    const Wanted& wanted) {
  WEIR_TRY(check_rows(port, wanted));
  WEIR_TRY(check_ranges(port, entries));
  WEIR_TRY(put_sets(port, entries, wanted));
  WEIR_TRY(add_ranges(port, entries));
  if (port.affinity_s != entries.affinity_seconds) {
    port.affinity_s = entries.affinity_seconds;
    for (PortRow& row : port.rows()) row.flags |= PortRow::kStale;
  }
  plan_rows(port, wanted);
  return {};
}

Result<void> ServiceRound::check_rows(const Port& port, const Wanted& wanted) const {
  const auto fresh = static_cast<std::size_t>(std::ranges::count_if(
      wanted, [&](const PortRow& row) { return state_.ports.owner(row.key) == nullptr; }));
  const auto own = static_cast<std::size_t>(std::ranges::count_if(
      port.rows(), [&](const PortRow& row) { return !find_row<PortRow>(wanted, row.key); }));
  const std::size_t after = state_.rows_in_kernel() + fresh_rows_ + fresh;
  const std::size_t going = std::max(erasures_.size(), taken_rows_) - taken_rows_;
  if (fresh == 0 || after <= state_.row_capacity + going + own) return {};
  return Error(Code::kKernel,
               fmt::format("{} more rows are needed, fewer of the {} are free: raise --service-max",
                           fresh, state_.row_capacity));
}

// Both sets or none.
Result<void> ServiceRound::put_sets(Port& port, const ServicePortEntries& entries,
                                    const Wanted& wanted) {
  std::array<bool, 2> needed{};
  std::array<bool, 2> ring{};
  for (const PortRow& row : wanted) {
    for (std::size_t index = 0; index < needed.size(); ++index) {
      if (!row.names(index)) continue;
      needed[index] = true;
      if ((row.flags & WEIR_SERVICE_RING) != 0) ring[index] = true;
    }
  }
  std::array<bool, 2> made{};
  std::vector<ServiceSets::Draft> drafts;
  const auto prepare = [&](std::size_t index) -> Result<void> {
    if (port.sets[index] == 0) {
      WEIR_ASSIGN(port.sets[index], state_.sets.make());
      made[index] = true;
    }
    const auto slots = slots_of(index == 0 ? entries.cluster : entries.local);
    WEIR_ASSIGN(auto draft, state_.sets.draft(port.sets[index], slots, ring[index]));
    drafts.push_back(draft);
    return {};
  };
  for (std::size_t index = 0; index < needed.size(); ++index) {
    if (!needed[index]) continue;
    auto prepared = prepare(index);
    if (prepared) continue;
    for (const auto& draft : drafts) state_.sets.discard(draft);
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (made[i]) state_.sets.give_back(std::exchange(port.sets[i], 0));
    }
    return prepared;
  }
  for (const auto& draft : drafts) {
    if (state_.sets.publish(draft)) changed_ = true;
    if (draft.loses) judged_again_ = true;
  }
  for (PortRow& row : port.rows()) {
    const bool stale = (made[0] && row.names(0)) || (made[1] && row.names(1));
    if (stale) row.flags |= PortRow::kStale;
  }
  return {};
}

std::vector<weir_srcrange_key> ServiceRound::missing_ranges(
    const Port& port, const ServicePortEntries& entries) const {
  if (entries.source_ranges.empty()) return {};
  auto wanted = ranges_of(port.id, entries);
  const auto have = state_.ranges.find(port.id);
  if (have == state_.ranges.end()) return wanted;
  std::vector<weir_srcrange_key> out;
  std::ranges::set_difference(wanted, have->second, std::back_inserter(out), less);
  return out;
}

// Those that are wanted no longer go afterwards: there is no moment without them.
Result<void> ServiceRound::check_ranges(const Port& port, const ServicePortEntries& entries) const {
  const std::size_t missing = missing_ranges(port, entries).size();
  if (missing == 0 || state_.ranges_in_kernel + missing <= state_.range_capacity) return {};
  return Error(Code::kKernel, fmt::format("{} more source ranges are needed, fewer of the {} are "
                                          "free: raise --source-range-max",
                                          missing, state_.range_capacity));
}

Result<void> ServiceRound::add_ranges(const Port& port, const ServicePortEntries& entries) {
  for (const weir_srcrange_key& key : missing_ranges(port, entries)) {
    WEIR_TRY(state_.rows.add_range(key));
    auto& have = state_.ranges[port.id];
    have.insert(std::ranges::lower_bound(have, key, less), key);
    ++state_.ranges_in_kernel;
    changed_ = true;
  }
  return {};
}

void ServiceRound::plan_rows(Port& port, const Wanted& wanted) {
  for (const PortRow& row : wanted) {
    const Port* owner = state_.ports.owner(row.key);
    const PortRow* now = owner == nullptr ? nullptr : find_row<PortRow>(owner->rows(), row.key);
    if (owner == &port && now->flags == row.flags) continue;
    updates_.push_back({works_.size(), row});
    if (now == nullptr) {
      ++fresh_rows_;
      judged_again_ |= row.key.proto != kTcp && row.key.proto != 0;
    } else {
      judged_again_ |= set_of(*owner, now->flags) != set_of(port, row.flags);
      taken_rows_ += owner == &port ? 0 : 1;
    }
  }
  for (const PortRow& row : port.rows()) {
    if (!find_row<PortRow>(wanted, row.key)) plan_erasure(row.key);
  }
}

void ServiceRound::remove(const ServicePortKey& key) {
  const Port* port = state_.ports.find(key);
  if (port == nullptr) return;
  for (const PortRow& row : port->rows()) plan_erasure(row.key);
  works_.push_back({.id = port->id, .key = &key});
}

void ServiceRound::remove_nameless(std::uint32_t id) {
  for (const PortRow& row : state_.ports.by_id(id)->rows()) plan_erasure(row.key);
  works_.push_back({.id = id});
}

// --- writing -------------------------------------------------------------------------------------

void ServiceRound::write(ServiceTables::Applied& applied) {
  // Clients of the cluster fall back to the ANY row while theirs is not there: it is written first.
  std::ranges::stable_partition(
      updates_, [](const Update& one) { return one.row.key.scope == WEIR_SCOPE_CLUSTER; });
  const bool full = state_.rows_in_kernel() + fresh_rows_ > state_.row_capacity;
  if (full) write_erasures();
  write_updates();
  if (!full) write_erasures();
  for (const Erasure& one : erasures_) {
    const Port* owner = state_.ports.owner(one.key);
    if (owner == nullptr || owner->id != works_[one.work].id) continue;
    works_[one.work].fail(Error(Code::kUnavailable, "a row of it could not be removed"));
  }
  for (Work& work : works_) finish(work);
  for (Work& work : works_) report(work, applied);
  applied.changed |= changed_;
  applied.judged_again |= judged_again_;
  works_.clear();
  updates_.clear();
  erasures_.clear();
  fresh_rows_ = taken_rows_ = 0;
  changed_ = judged_again_ = false;
}

weir_service ServiceRound::value_of(const Port& port, const PortRow& row) const {
  weir_service out{};
  out.key = row.key;
  out.id = port.id;
  out.set = set_of(port, row.flags);
  out.flags = row.flags & ~PortRow::kLocalSet;
  out.affinity_s = port.affinity_s;
  out.local_set = row.names(1) ? port.sets[1] : 0;
  return out;
}

void ServiceRound::write_updates() {
  for (std::size_t at = 0; at < updates_.size(); at += kBatch) {
    write_updates(std::span(updates_).subspan(at, std::min(kBatch, updates_.size() - at)));
  }
}

void ServiceRound::write_updates(std::span<const Update> batch) {
  while (!batch.empty()) {
    std::vector<weir_service> values;
    values.reserve(batch.size());
    for (const Update& one : batch) {
      values.push_back(value_of(*state_.ports.by_id(works_[one.work].id), one.row));
    }
    std::size_t done = 0;
    const auto result = state_.rows.update(values, &done);
    if (result) done = batch.size();
    for (const Update& one : batch.first(done)) written(one);
    if (result) return;
    works_[batch[done].work].fail(result.error());
    batch = batch.subspan(done + 1);
  }
}

void ServiceRound::written(const Update& update) {
  changed_ = true;
  Port* before = state_.ports.owner(update.row.key);
  state_.ports.put_row(*state_.ports.by_id(works_[update.work].id), update.row);
  std::erase_if(state_.strays, [&](const auto& key) { return same_key(key, update.row.key); });
  if (before == nullptr || !before->nameless() || !before->rows().empty()) return;
  const auto released = release(*before);
  (void)released;  // stays nameless, which is tried again
}

// Rows that another port takes over are written, not removed.
void ServiceRound::write_erasures() {
  const auto key_less = [](const weir_service_key& a, const weir_service_key& b) {
    return std::memcmp(&a, &b, sizeof a) < 0;
  };
  std::vector<weir_service_key> taken;
  for (const Update& one : updates_) taken.push_back(one.row.key);
  std::ranges::sort(taken, key_less);
  std::vector<Erasure> rest;
  for (const Erasure& one : erasures_) {
    if (!std::ranges::binary_search(taken, one.key, key_less)) rest.push_back(one);
  }
  for (std::size_t at = 0; at < rest.size(); at += kBatch) {
    write_erasures(std::span(rest).subspan(at, std::min(kBatch, rest.size() - at)));
  }
}

void ServiceRound::write_erasures(std::span<const Erasure> batch) {
  std::vector<weir_service_key> keys;
  for (const Erasure& one : batch) keys.push_back(one.key);
  const auto result = state_.rows.erase(keys);
  for (const Erasure& one : batch) {
    Port& port = *state_.ports.by_id(works_[one.work].id);
    if (result) {
      state_.ports.drop_row(port, one.key);
      changed_ = judged_again_ = true;
      continue;
    }
    works_[one.work].fail(result.error());
    for (PortRow& row : port.rows()) {  // it may be gone nevertheless
      if (same_key(row.key, one.key)) row.flags |= PortRow::kStale;
    }
  }
}

// --- afterwards ----------------------------------------------------------------------------------

void ServiceRound::finish(Work& work) {
  Port* port = state_.ports.by_id(work.id);
  if (port == nullptr || !work.error.empty()) return;
  auto done = work.entries == nullptr ? release(*port) : trim(*port, *work.entries);
  if (!done) work.fail(done.error());
}

// What no row names any more.
Result<void> ServiceRound::release(Port& port) {
  if (const auto ranges = state_.ranges.find(port.id); ranges != state_.ranges.end()) {
    for (; !ranges->second.empty(); ranges->second.pop_back()) {
      WEIR_TRY(state_.rows.erase_range(ranges->second.back()));
      --state_.ranges_in_kernel;
    }
    state_.ranges.erase(ranges);
  }
  for (const std::uint32_t set : port.sets) {
    if (set != 0) state_.sets.free(set);
  }
  state_.nameless.erase(port.id);
  state_.ids.leave(port.id, state_.clock());
  state_.ports.erase(port);
  changed_ = true;
  return {};
}

Result<void> ServiceRound::trim(Port& port, const ServicePortEntries& entries) {
  std::array<bool, 2> named{};
  for (const PortRow& row : port.rows()) {
    for (std::size_t index = 0; index < named.size(); ++index) {
      if (row.names(index)) named[index] = true;
    }
  }
  for (std::size_t index = 0; index < named.size(); ++index) {
    if (named[index] || port.sets[index] == 0) continue;
    state_.sets.free(std::exchange(port.sets[index], 0));
    changed_ = true;
  }
  const auto have = state_.ranges.find(port.id);
  if (have == state_.ranges.end()) return {};
  const auto wanted = ranges_of(port.id, entries);
  std::vector<weir_srcrange_key> extra;
  std::ranges::set_difference(have->second, wanted, std::back_inserter(extra), less);
  for (const weir_srcrange_key& key : extra) {
    WEIR_TRY(state_.rows.erase_range(key));
    have->second.erase(std::ranges::lower_bound(have->second, key, less));
    --state_.ranges_in_kernel;
    changed_ = true;
  }
  if (have->second.empty()) state_.ranges.erase(have);
  return {};
}

void ServiceRound::report(Work& work, ServiceTables::Applied& applied) {
  if (work.key == nullptr) return;
  if (work.error.empty()) {
    state_.waiting.erase(*work.key);
    return;
  }
  auto& waiting = state_.waiting[*work.key];
  const std::string text = work.soon ? std::string() : work.key->to_string() + ": " + work.error;
  if (!text.empty() && text != waiting.text) applied.refused.push_back(text);
  waiting.text = text;
  if (work.entries == nullptr) {
    waiting.entries = {};
  } else if (&waiting.entries != work.entries) {
    waiting.entries = *work.entries;
  }
}

}  // namespace weir
