#include "dataplane/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>

#include "abi/rendezvous.h"

namespace weir {
namespace {

constexpr std::uint32_t kPage = 4096;
constexpr std::uint32_t kFewestSlots = WEIR_RENDEZVOUS_MAX + 3;  // the next prime
constexpr std::uint64_t kMostRingSlots = 1ULL << 30;

Error wrong(std::string_view setting, std::string_view must) {
  return Error(Code::kInvalid, fmt::format("setting {}: {}", setting, must));
}

bool is_prime(std::uint32_t n) {
  for (std::uint64_t i = 2; i * i <= n; ++i) {
    if (n % i == 0) return false;
  }
  return n > 1;
}

Result<void> check_services(const Settings& s) {
  if (s.node_port_min == 0 || s.node_port_min > s.node_port_max) {
    return wrong("node_port_min", "is from 1 to node_port_max");
  }
  if (s.service_max < 2) return wrong("service_max", "is at least 2");
  if (s.backend_max < 2) return wrong("backend_max", "is at least 2");
  if (s.ring_max == 0) return wrong("ring_max", "is at least 1");
  if (!is_prime(s.maglev_slots) || s.maglev_slots < kFewestSlots) {
    return wrong("maglev_slots", "is a prime, at least 131");
  }
  if (std::uint64_t{s.ring_max} * s.maglev_slots > kMostRingSlots) {
    return wrong("ring_max", "times maglev_slots is at most 2^30");
  }
  if (s.affinity_max == 0) return wrong("affinity_max", "is at least 1");
  if (s.source_range_max == 0) return wrong("source_range_max", "is at least 1");
  return {};
}

struct Capacity {
  std::string_view map;
  const char* setting;
  std::uint32_t (*value)(const Settings&);
};

constexpr Capacity kCapacities[] = {
#define WEIR_CAPACITY(map, setting) {#map, #setting, [](const Settings& s) { return s.setting; }},
#include "abi/settings.def"
    {"weir_ring_slot", "ring_max", ring_words},
};

const Capacity* find_capacity(std::string_view map) {
  const auto* found = std::ranges::find(kCapacities, map, &Capacity::map);
  return found == std::end(kCapacities) ? nullptr : found;
}

}  // namespace

std::optional<std::uint32_t> capacity_of(std::string_view map, const Settings& settings) {
  const Capacity* capacity = find_capacity(map);
  if (capacity == nullptr) return std::nullopt;
  return capacity->value(settings);
}

Error table_is_full(std::string_view map, int saved_errno) {
  std::string text = fmt::format("map {} is full", map);
  if (const Capacity* capacity = find_capacity(map)) {
    std::string flag = capacity->setting;
    std::ranges::replace(flag, '_', '-');
    text += ": raise --" + flag;
  }
  return {Code::kKernel, std::move(text), saved_errno};
}

Result<void> check(const Settings& s) {
  if (s.nat_port_min == 0 || s.nat_port_min > s.nat_port_max) {
    return wrong("nat_port_min", "is from 1 to nat_port_max");
  }
  if (s.tunnel && s.tunnel_port == 0) return wrong("tunnel_port", "is from 1 to 65535");
  if (s.tunnel_vni >= 1U << 24) return wrong("tunnel_vni", "has 24 bits");
  if (s.mark_judged == 0 || (s.mark_judged & ~s.mark_mask) != 0) {
    return wrong("mark_judged", "is not 0 and inside mark_mask");
  }
  if (s.ct_max == 0) return wrong("ct_max", "is at least 1");
  if (s.endpoint_max == 0) return wrong("endpoint_max", "is at least 1");
  if (s.route_max == 0) return wrong("route_max", "is at least 1");
  if (s.events_bytes < kPage || !std::has_single_bit(s.events_bytes)) {
    return wrong("events_bytes", "is a power of two, at least 4096");
  }
  return s.services ? check_services(s) : Result<void>();
}

}  // namespace weir
