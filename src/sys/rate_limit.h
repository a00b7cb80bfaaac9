#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "sys/netlink.h"

namespace weir {

// A token bucket (tbf) as a link's root queueing discipline: what leaves by the link.
struct RateLimit {
  std::uint64_t bytes_per_second = 0;
  std::uint32_t burst_bytes = 0;  // at least a frame of the link, or larger ones are lost
  std::uint32_t queue_bytes = 0;  // what waits; more is lost

  friend bool operator==(const RateLimit&, const RateLimit&) = default;
};

namespace request {

// Takes the place of what is there.
void limit_rate(Batch& batch, std::uint32_t index, const RateLimit& limit);

}  // namespace request

// Of the link's root; none: another discipline. The kernel keeps the burst as a time, so that it
// comes back rounded.
Result<std::optional<RateLimit>> find_rate_limit(Netlink& netlink, std::uint32_t index);

}  // namespace weir
