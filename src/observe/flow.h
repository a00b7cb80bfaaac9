#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "abi/event.h"
#include "base/address.h"
#include "state/names.h"

namespace weir {

enum class FlowType : std::uint8_t {
  kNew = WEIR_EVENT_NEW,
  kEstablished = WEIR_EVENT_ESTABLISHED,
  kClosed = WEIR_EVENT_CLOSED,
  kEnded = WEIR_EVENT_ENDED,
  kDropped = WEIR_EVENT_DROP,
};
inline constexpr FlowType kFlowTypes[] = {FlowType::kNew, FlowType::kEstablished, FlowType::kClosed,
                                          FlowType::kEnded, FlowType::kDropped};

enum class Verdict : std::uint8_t { kForwarded, kDropped };

struct FlowEnd {
  Address address;
  std::uint16_t port = 0;  // 0: the protocol has none
  std::shared_ptr<const Name> name;
};

struct Icmp {
  std::uint8_t type = 0;
  std::uint8_t code = 0;

  friend bool operator==(const Icmp&, const Icmp&) = default;
};

// One event with names: a step in the life of a connection, or a dropped packet.
// source opened the connection (drops: sent the packet); both ends are as before translation.
struct Flow {
  std::int64_t time_ns = 0;  // since 1970
  FlowType type = FlowType::kNew;
  std::uint8_t protocol = 0;
  std::uint8_t hook = 0;            // enum weir_hook
  std::uint8_t out = 0;             // enum weir_out
  std::uint8_t reason = 0;          // enum weir_drop
  std::uint32_t kernel_reason = 0;  // WEIR_DROP_KERNEL: enum skb_drop_reason of that node's kernel
  std::string kernel_reason_name;   // as the kernel calls it, NEIGH_FAILED
  bool by_responder = false;        // kClosed: who closed
  bool reset = false;               // kClosed: by RST
  bool seen_closed = false;         // kEnded: a kClosed came before
  bool replied = false;             // kEnded: the responder has spoken
  FlowEnd source;
  FlowEnd destination;
  // Drops: the pod whose link the packet came by, where its source address says somebody else.
  std::shared_ptr<const Name> sent_by;
  Address nat_address;  // the source after translation; zero: none
  std::uint16_t nat_port = 0;
  FlowEnd backend;                             // the destination after translation; zero: none
  std::uint32_t service_id = 0;                // weir_service.id; 0: none
  std::shared_ptr<const ServiceName> service;  // that the source addressed; null: none
  std::optional<Icmp> icmp;
  std::uint32_t ifindex = 0;
  std::uint32_t length = 0;
  std::uint64_t duration_ns = 0;
  std::array<std::uint64_t, 2> packets{};  // [0] from the source, [1] from the destination
  std::array<std::uint64_t, 2> bytes{};

  Verdict verdict() const {
    return type == FlowType::kDropped ? Verdict::kDropped : Verdict::kForwarded;
  }
};

// The event without names (those of ends and the Service are null) and with the time of
// CLOCK_MONOTONIC; nothing if the bytes are no weir_event of a known type.
std::optional<Flow> decode_event(std::span<const std::byte> bytes);

// How flows are written everywhere: JSON, text, metrics, filters.
std::string_view flow_type_name(FlowType type);  // "new", "established", ...
std::optional<FlowType> parse_flow_type(std::string_view text);
std::string_view verdict_name(Verdict verdict);  // "forwarded", "dropped"
std::optional<Verdict> parse_verdict(std::string_view text);
std::string_view hook_name(std::uint8_t hook);    // "from_pod", ...; "?"
std::string_view out_name(std::uint8_t out);      // "local", "tunnel", "direct", "host", "none"
std::string_view drop_name(std::uint8_t reason);  // "SPOOFED", ...; "UNKNOWN"
std::string_view drop_text(std::uint8_t reason);  // "source address does not belong ..."
std::optional<std::uint8_t> parse_drop(std::string_view name);  // any case
// Of what the kernel has dropped, its own reason.
std::string_view drop_name(const Flow& flow);
std::string_view drop_text(const Flow& flow);
std::string_view kernel_drop_text(std::string_view name);
// "TCP", "UDP", "ICMP", "ICMPv6", "SCTP"; "" for others, which are written as numbers.
std::string_view known_ip_protocol(std::uint8_t protocol);
std::string ip_protocol_name(std::uint8_t protocol);
std::optional<std::uint8_t> parse_ip_protocol(
    std::string_view text);  // name in any case, or number

}  // namespace weir
