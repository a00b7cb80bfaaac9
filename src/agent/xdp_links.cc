#include "agent/xdp_links.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "sys/links.h"

namespace weir {
namespace {

constexpr const char* kNative = "native";

// A veth link loses what XDP sends unless its other end has a program, too: silently.
Result<void> check_peer(Netlink& netlink, const std::string& ifname) {
  WEIR_ASSIGN(const Link link, find_link(netlink, ifname));
  if (link.kind != "veth") return {};
  WEIR_ASSIGN(const Link peer, find_peer(netlink, link));
  if (peer.xdp) return {};
  return Error(Code::kUnavailable,
               fmt::format("{} is a veth link whose other end has no XDP program", ifname));
}

Result<void> attach(Dataplane& plane, Netlink& netlink, const Uplink& device) {
  WEIR_TRY(check_peer(netlink, device.name));
  WEIR_TRY(plane.attach_xdp(device.name, device.ifindex));
  return {};
}

}  // namespace

void XdpLinks::refresh(Dataplane& plane, Netlink& netlink, const std::vector<Uplink>& devices,
                       bool wanted) {
  std::map<std::string, std::string> states;
  for (const Uplink& device : devices) {
    if (!wanted) {
      plane.detach_xdp(device.name);
      continue;
    }
    const auto attached = attach(plane, netlink, device);
    if (!attached) plane.detach_xdp(device.name);
    const std::string now = attached ? kNative : attached.error().text();
    if (now == kNative && state(device.name) != now) spdlog::info("{}: XDP", device.name);
    if (now != kNative && state(device.name) != now)
      spdlog::warn("{}: no XDP, TC does its work: {}", device.name, now);
    states[device.name] = now;
  }
  states_ = std::move(states);
}

std::string XdpLinks::state(const std::string& ifname) const {
  const auto found = states_.find(ifname);
  return found == states_.end() ? "" : found->second;
}

bool XdpLinks::lacks_any() const {
  return std::ranges::any_of(states_, [](const auto& one) { return one.second != kNative; });
}

}  // namespace weir
