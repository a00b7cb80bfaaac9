// Backends with weights -> the slots of an extent.
#include "dataplane/service_slots.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "dataplane/maglev.h"
#include "state/entries.h"

namespace weir {
namespace {

// Slots per unit of weight, as a fraction.
struct Scale {
  std::uint64_t up = 1;
  std::uint64_t down = 1;

  std::uint32_t slots(std::uint32_t weight) const {
    return weight == 0 ? 0
                       : static_cast<std::uint32_t>(
                             std::max<std::uint64_t>((weight * up + down / 2) / down, 1));
  }
};

Scale scale_of(const std::vector<ServiceBackend>& backends) {
  std::uint64_t divisor = 0;
  std::uint64_t sum = 0;
  for (const ServiceBackend& backend : backends) {
    divisor = std::gcd(divisor, std::uint64_t{backend.weight});
    sum += backend.weight;
  }
  if (divisor == 0) return {};
  if (sum / divisor <= kWeightedSlots) return {.up = 1, .down = divisor};
  return {.up = kWeightedSlots, .down = sum};
}

weir_backend to_abi(const ServiceBackend& backend) {
  weir_backend out{};
  out.addr = to_abi(backend.address);
  out.port = htons(backend.port);
  out.flags = backend.this_node ? WEIR_BACKEND_THIS_NODE : 0;
  return out;
}

}  // namespace

int compare_place(const weir_backend& a, const weir_backend& b) {
  const int order = std::memcmp(&a.addr, &b.addr, sizeof a.addr);
  return order != 0 ? order : static_cast<int>(ntohs(a.port)) - static_cast<int>(ntohs(b.port));
}

std::vector<weir_backend> slots_of(const std::vector<ServiceBackend>& backends) {
  const Scale scale = scale_of(backends);
  std::vector<weir_backend> out;
  out.reserve(backends.size());
  for (const ServiceBackend& backend : backends) {
    weir_backend slot = to_abi(backend);
    for (std::uint32_t copy = 0; copy < scale.slots(backend.weight); ++copy) {
      slot.hash = slot_hash(slot.addr, slot.port, copy);
      out.push_back(slot);
    }
  }
  const auto before = [](const auto& a, const auto& b) { return compare_place(a, b) < 0; };
  if (!std::ranges::is_sorted(out, before)) std::ranges::stable_sort(out, before);
  return out;
}

}  // namespace weir
