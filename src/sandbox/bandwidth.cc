#include "sandbox/bandwidth.h"

#include <algorithm>
#include <limits>

namespace weir {
namespace {

constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kFrameOverhead = 64;  // link header and VLAN tags, with room to spare
// A burst of 20 ms makes up for timers that are late on a busy machine.
constexpr std::uint64_t kBurstsPerSecond = 50;
constexpr std::uint64_t kMinBurstFrames = 4;
// The queue: 1/40 s of traffic, or one large segment at slow rates; and the burst, up to what the
// largest packet needs that is not cut into segments before it waits.
constexpr std::uint64_t kQueuesPerSecond = 40;
constexpr std::uint64_t kMinQueue = 64 << 10;
constexpr std::uint64_t kMaxSegmented = 256 << 10;

std::uint32_t narrow(std::uint64_t bytes) {
  return static_cast<std::uint32_t>(std::min(bytes, kMaxBytes));
}

}  // namespace

std::optional<RateLimit> rate_limit(const Bandwidth& bandwidth, std::uint32_t mtu) {
  if (bandwidth.rate == 0) return std::nullopt;
  const std::uint64_t rate = bandwidth.rate / 8;
  const std::uint64_t frame = mtu + kFrameOverhead;
  const std::uint64_t burst = bandwidth.burst == 0
                                  ? std::max(rate / kBurstsPerSecond, kMinBurstFrames * frame)
                                  : std::max(bandwidth.burst / 8, frame);
  const std::uint64_t queue =
      std::max(rate / kQueuesPerSecond, kMinQueue) + std::min(burst, kMaxSegmented);
  return RateLimit{rate, narrow(burst), narrow(queue)};
}

}  // namespace weir
