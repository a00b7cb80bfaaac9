#pragma once

#include <cstdint>

#include "harness/bed.h"

// What must become of a packet, by a reader of frames and rules of its own: nothing here is shared
// with bpf/. It knows the cast of harness/cast.h and the Services below, and no connections; where
// the answer depends on what came before, it does not judge.
namespace weir::fuzz {

// The Services of the fuzzed node: of cast.vip TCP 80 has the backends pod_b:80 and pod_r:9, UDP 53
// has none; the node's TCP and UDP port 30080 has pod_r:8080; cast.vip_2, TCP 443, is handed over
// (DSR) and has pod_b:444 and pod_r:444.
inline constexpr std::uint16_t kNodePort = 30080;

enum class Fate {
  kAny,
  kPasses,   // never dropped
  kStops,    // dropped, or answered to its sender
  kNotSent,  // not redirected, but for an answer to its sender
};

enum class Way { kFromPod, kToPod, kFromNic, kFromTunnel, kHandedOver, kToNic };

// wire: nullopt when the frame cannot be read. Way kFromPod, kToPod: the link of pod_a.
// Tunnel: from node_r.
Fate fate_of(Way way, const std::optional<Wire>& wire, std::size_t frame_size, bool gso);

// A frame out of the tunnel's headers, when it is in them.
std::optional<Bytes> unwrapped(const Bytes& frame);

// `out` is `in` as it is sent on: one hop less (unless by its own host), and checksums that were
// right stay right; or an answer to the sender.
testing::AssertionResult sane(const std::optional<Wire>& before, const Bytes& out, bool from_host);

// What is told to the sender of a packet that was refused.
bool is_answer(const Wire& before, const Wire& after);

// As the programs see it: the frame's length counts, not what the IP header says of it.
std::optional<Wire> by_frame_length(Bytes frame);

}  // namespace weir::fuzz
