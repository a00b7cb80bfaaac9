#pragma once

#include <string>
#include <string_view>

#include "observe/flow.h"

namespace weir::cli {

// One line of `weir monitor`, with its line end.
struct FlowStyle {
  bool colour = false;
  bool node = true;  // show which node saw it
};
std::string flow_text(const Flow& flow, std::string_view node, const FlowStyle& style);
std::string lost_text(std::string_view node, std::uint64_t count, const FlowStyle& style);

// "shop/cart-7d9-x2x:41234", "node n1:6443", "93.184.216.34:443", "[2001:db8::1]:443"
std::string end_text(const FlowEnd& end);
// "echo request", "port unreachable", "type 9 code 0"
std::string icmp_text(std::uint8_t protocol, const Icmp& icmp);

}  // namespace weir::cli
