#include "dataplane/service_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "dataplane/port_table.h"
#include "dataplane/service_round.h"
#include "dataplane/service_sets.h"

namespace weir {
namespace {

constexpr std::size_t kRound = 4096;  // ports; their rows are in memory for a moment

}  // namespace

struct ServiceTables::Impl {
  Impl(ServiceMemory memory, ServiceRows& rows, Clock clock)
      : ring_capacity(memory.ring_capacity),
        maglev_slots(memory.maglev_slots),
        state(std::move(memory), rows, std::move(clock)) {}

  void adopt_row(const weir_service& row);
  void adopt_ids();
  Result<void> adopt_ranges();
  void remove_unclaimed(Applied& applied);
  void erase_strays(Applied& applied);
  void say_ringless(Applied& applied);
  bool is_ringless(const Port& port) const;
  std::string ringless_text(const Port& port) const;

  std::uint32_t ring_capacity;
  std::uint32_t maglev_slots;
  ServiceState state;
  bool pruned = false;
  std::set<std::uint32_t> said_ringless;  // sets
};

ServiceTables::ServiceTables(ServiceMemory memory, ServiceRows& rows, Clock clock)
    : impl_(std::make_unique<Impl>(std::move(memory), rows, std::move(clock))) {}

ServiceTables::~ServiceTables() = default;

// --- adoption ------------------------------------------------------------------------------------

// A row whose id or set cannot be right is kept in sight, so that it is written anew or removed.
void ServiceTables::Impl::adopt_row(const weir_service& row) {
  const std::uint64_t most_ids = 2ULL * state.row_capacity + 4096;
  if (row.id == 0 || row.id > most_ids) {
    state.strays.push_back(row.key);
    return;
  }
  Port* port = state.ports.by_id(row.id);
  if (port == nullptr) {
    port = &state.ports.create(row.id);
    port->affinity_s = row.affinity_s;
    state.nameless.insert(row.id);
  }
  constexpr std::uint32_t kOwn = PortRow::kLocalSet | PortRow::kStale;
  PortRow adopted{.key = row.key, .flags = row.flags & ~kOwn};
  bool sound = (row.flags & kOwn) == 0 && row.affinity_s == port->affinity_s;
  const bool local = row.local_set != 0 && row.local_set == row.set;
  if (local) adopted.flags |= PortRow::kLocalSet;
  if ((row.flags & WEIR_SERVICE_OTHER_PORTS) == 0) {
    std::uint32_t& set = port->sets[local ? 1 : 0];
    if (set == 0 && state.sets.adopt(row.set)) set = row.set;
    sound = sound && set == row.set;
  }
  if (adopted.names(1) && !local) {
    if (port->sets[1] == 0 && state.sets.adopt(row.local_set)) port->sets[1] = row.local_set;
    sound = sound && port->sets[1] == row.local_set;
  }
  if (!sound) adopted.flags |= PortRow::kStale;
  state.ports.put_row(*port, adopted);
}

void ServiceTables::Impl::adopt_ids() {
  std::vector<bool> used;
  state.ports.for_each([&](const Port& port) {
    used.resize(std::max<std::size_t>(used.size(), port.id + 1));
    used[port.id] = true;
  });
  state.ids.adopt(used);
  state.sets.adopted();
}

Result<void> ServiceTables::Impl::adopt_ranges() {
  WEIR_TRY(state.rows.for_each_range([this](const weir_srcrange_key& key) {
    state.ranges[key.service].push_back(key);
    ++state.ranges_in_kernel;
  }));
  for (auto& [id, keys] : state.ranges) {
    std::ranges::sort(keys, [](const weir_srcrange_key& a, const weir_srcrange_key& b) {
      return std::memcmp(&a, &b, sizeof a) < 0;
    });
  }
  return {};
}

Result<void> ServiceTables::adopt() {
  WEIR_TRY(impl_->state.rows.for_each([this](const weir_service& row) { impl_->adopt_row(row); }));
  impl_->adopt_ids();
  return impl_->adopt_ranges();
}

// --- changes -------------------------------------------------------------------------------------

ServiceTables::Applied ServiceTables::apply(const ServiceChanges& changes) {
  Applied applied;
  ServiceRound round(impl_->state);
  const auto next = [&] {
    if (round.size() >= kRound) round.write(applied);
  };
  // What goes makes room.
  for (const auto& [key, entries] : changes) {
    if (!entries.frontends.empty()) continue;
    if (impl_->state.ports.find(key) == nullptr) impl_->state.waiting.erase(key);
    round.remove(key);
    next();
  }
  for (const auto& [key, entries] : changes) {
    if (entries.frontends.empty()) continue;
    round.put(key, entries);
    next();
  }
  round.write(applied);
  impl_->say_ringless(applied);
  return applied;
}

ServiceTables::Applied ServiceTables::retry() {
  Applied applied;
  ServiceRound round(impl_->state);
  std::vector<const ServicePortKey*> keys;
  for (const auto& [key, waiting] : impl_->state.waiting) keys.push_back(&key);
  std::ranges::stable_partition(keys, [this](const ServicePortKey* key) {
    return impl_->state.waiting.at(*key).entries.frontends.empty();
  });
  for (const ServicePortKey* key : keys) {
    const auto& entries = impl_->state.waiting.at(*key).entries;
    if (entries.frontends.empty() && impl_->state.ports.find(*key) == nullptr) {
      impl_->state.waiting.erase(*key);
    } else if (entries.frontends.empty()) {
      round.remove(*key);
    } else {
      round.put(*key, entries);
    }
    if (round.size() >= kRound) round.write(applied);
  }
  round.write(applied);
  if (impl_->pruned) impl_->remove_unclaimed(applied);
  if (impl_->state.sets.fill_ringless()) applied.changed = true;
  impl_->say_ringless(applied);
  return applied;
}

bool ServiceTables::waiting() const {
  const ServiceState& state = impl_->state;
  const bool unclaimed = !state.nameless.empty() || !state.strays.empty();
  return !state.waiting.empty() || (impl_->pruned && unclaimed) || state.sets.rings_resting();
}

ServiceTables::Applied ServiceTables::prune() {
  Applied applied;
  impl_->pruned = true;
  impl_->remove_unclaimed(applied);
  return applied;
}

void ServiceTables::Impl::remove_unclaimed(Applied& applied) {
  ServiceRound round(state);
  const std::vector<std::uint32_t> ids(state.nameless.begin(), state.nameless.end());
  for (const std::uint32_t id : ids) {
    round.remove_nameless(id);
    if (round.size() >= kRound) round.write(applied);
  }
  round.write(applied);
  erase_strays(applied);
}

void ServiceTables::Impl::erase_strays(Applied& applied) {
  if (!state.strays.empty() && state.rows.erase(state.strays)) {
    state.strays.clear();
    applied.changed = applied.judged_again = true;
  }
  for (auto of = state.ranges.begin(); of != state.ranges.end();) {
    auto& [id, keys] = *of;
    const bool stray = state.ports.by_id(id) == nullptr;
    while (stray && !keys.empty() && state.rows.erase_range(keys.back())) {
      keys.pop_back();
      --state.ranges_in_kernel;
    }
    of = keys.empty() ? state.ranges.erase(of) : std::next(of);
  }
}

// --- what there is to say ------------------------------------------------------------------------

bool ServiceTables::Impl::is_ringless(const Port& port) const {
  const auto& ringless = state.sets.ringless();
  return ringless.contains(port.sets[0]) || ringless.contains(port.sets[1]);
}

std::string ServiceTables::Impl::ringless_text(const Port& port) const {
  return fmt::format(
      "{}: clients outside get backends at random: none of the {} rings is left, or it has more "
      "than {} backends: raise --ring-max or --maglev-slots",
      port.key().to_string(), ring_capacity, maglev_slots);
}

void ServiceTables::Impl::say_ringless(Applied& applied) {
  const auto& ringless = state.sets.ringless();
  if (ringless == said_ringless) return;
  state.ports.for_each([&](const Port& port) {
    for (const std::uint32_t set : port.sets) {
      if (ringless.contains(set) && !said_ringless.contains(set)) {
        applied.refused.push_back(ringless_text(port));
      }
    }
  });
  said_ringless = ringless;
}

std::vector<std::string> ServiceTables::complaints() const {
  std::vector<std::string> out;
  for (const auto& [key, waiting] : impl_->state.waiting) {
    if (!waiting.text.empty()) out.push_back(waiting.text);
  }
  if (!impl_->state.sets.ringless().empty()) {
    impl_->state.ports.for_each([&](const Port& port) {
      if (impl_->is_ringless(port)) out.push_back(impl_->ringless_text(port));
    });
  }
  std::ranges::sort(out);
  return out;
}

std::string ServiceTables::complaint(const ServicePortKey& key) const {
  const auto found = impl_->state.waiting.find(key);
  if (found != impl_->state.waiting.end()) return found->second.text;
  const Port* port = std::as_const(impl_->state.ports).find(key);
  return port != nullptr && impl_->is_ringless(*port) ? impl_->ringless_text(*port) : std::string();
}

ServiceTables::Use ServiceTables::use() const {
  const ServiceState& state = impl_->state;
  return {.rows = state.rows_in_kernel(),
          .backends = state.sets.slots_in_use(),
          .sets = state.sets.sets_in_use(),
          .rings = state.sets.rings_in_use(),
          .ranges = state.ranges_in_kernel};
}

std::uint32_t ServiceTables::id_of(const ServicePortKey& key) const {
  const Port* port = std::as_const(impl_->state.ports).find(key);
  return port == nullptr ? 0 : port->id;
}

std::optional<ServicePortKey> ServiceTables::port_of(std::uint32_t id) const {
  const Port* port = std::as_const(impl_->state.ports).by_id(id);
  if (port == nullptr || port->nameless()) return std::nullopt;
  return port->key();
}

}  // namespace weir
