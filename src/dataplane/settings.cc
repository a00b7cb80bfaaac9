#include "dataplane/settings.h"

#include <fmt/format.h>

#include <bit>

namespace weir {
namespace {

constexpr std::uint32_t kPage = 4096;

Error wrong(std::string_view setting, std::string_view must) {
  return Error(Code::kInvalid, fmt::format("setting {}: {}", setting, must));
}

}  // namespace

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
  return {};
}

}  // namespace weir
