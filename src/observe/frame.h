#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"

namespace weir {

struct FrameTuple {
  Address source;
  Address destination;
  std::uint8_t protocol = 0;      // IPv6: the first header after the fixed one
  std::uint16_t source_port = 0;  // 0: the protocol has none, a later fragment, or cut off
  std::uint16_t destination_port = 0;
};

// Who speaks in an Ethernet frame; nothing when it is not IP.
std::optional<FrameTuple> parse_frame(std::span<const std::byte> frame);

}  // namespace weir
