// Bytes of weir_event -> Flow, and the words in which flows are told.

#include "observe/flow.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <strings.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace weir {
namespace {

struct DropReason {
  std::uint8_t number;
  std::string_view name;
  std::string_view text;
};

constexpr DropReason kDrops[] = {
#define WEIR_DROP(name, number, text) {number, #name, text},
#include "abi/drops.def"
#undef WEIR_DROP
};

struct KernelDropText {
  std::string_view name;
  std::string_view text;
};

// Those that users meet; the kernel's BTF has names alone.
constexpr KernelDropText kKernelDrops[] = {
    {"NOT_SPECIFIED",
     "the kernel does not say why: often a link that is down, or an IPv6 neighbour that is silent"},
    {"DEV_READY", "the link is down"},
    {"QDISC_DROP", "the queue of the link is full"},
    {"QDISC_OVERLIMIT", "the queue of the link is full"},
    {"NEIGH_FAILED", "nobody answers for the address of the next hop"},
    {"NEIGH_QUEUEFULL", "too many packets wait for the next hop to answer for its address"},
    {"NEIGH_CREATEFAIL", "the table of neighbours is full"},
    {"NETFILTER_DROP", "a rule of netfilter (iptables, nftables)"},
    {"IP_RPFILTER", "reverse path filter: the source is not where the packet came from"},
    {"IP_INNOROUTES", "no route"},
    {"IP_OUTNOROUTES", "no route"},
    {"IP_INADDRERRORS", "no route"},
    {"IP_INHDR", "malformed, or its time to live is used up"},
    {"PKT_TOO_BIG", "larger than the link takes"},
    {"SOCKET_RCVBUFF", "the receiving socket's buffer is full"},
    {"SOCKET_BACKLOG", "the receiving socket's backlog is full"},
    {"PROTO_MEM", "the memory for sockets of this protocol is used up"},
    {"TCP_LISTEN_OVERFLOW", "the listening socket's queue is full"},
    {"TCP_CSUM", "wrong checksum"},
    {"UDP_CSUM", "wrong checksum"},
    {"ICMP_CSUM", "wrong checksum"},
    {"IP_CSUM", "wrong checksum"},
    {"CPU_BACKLOG", "the queue of a CPU is full"},
    {"NOMEM", "no memory"},
    {"BPF_CGROUP_EGRESS", "another BPF program, on the sender's cgroup"},
    {"TC_INGRESS", "another BPF program or filter on a link"},
    {"TC_EGRESS", "another BPF program or filter on a link"},
    {"IP_NOPROTO", "nobody there takes this protocol"},
    {"UNHANDLED_PROTO", "nobody there takes this protocol"},
    {"FRAG_REASM_TIMEOUT", "the other fragments did not come"},
};

struct IpProtocol {
  std::uint8_t number;
  std::string_view name;
};

constexpr IpProtocol kProtocols[] = {{IPPROTO_TCP, "TCP"},
                                     {IPPROTO_UDP, "UDP"},
                                     {IPPROTO_ICMP, "ICMP"},
                                     {IPPROTO_ICMPV6, "ICMPv6"},
                                     {IPPROTO_SCTP, "SCTP"}};

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

Address address_of(const weir_addr& addr) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &addr, bytes.size());
  return Address::from_bytes(bytes);
}

const DropReason* find_drop(std::uint8_t reason) {
  const auto* found = std::ranges::find(kDrops, reason, &DropReason::number);
  return found == std::end(kDrops) ? nullptr : found;
}

bool known_type(std::uint8_t type) { return type >= WEIR_EVENT_NEW && type < WEIR_EVENTS; }

// ICMP has its type and code where others have the destination's port.
void take_ports(const weir_event& event, Flow& flow) {
  const std::uint16_t destination = ntohs(event.dst_port);
  if (flow.protocol == IPPROTO_ICMP || flow.protocol == IPPROTO_ICMPV6) {
    flow.icmp = Icmp{static_cast<std::uint8_t>(destination >> 8),
                     static_cast<std::uint8_t>(destination & 0xff)};
    return;
  }
  flow.source.port = ntohs(event.src_port);
  flow.destination.port = destination;
}

}  // namespace

std::optional<Flow> decode_event(std::span<const std::byte> bytes) {
  weir_event event;
  if (bytes.size() < sizeof event) return std::nullopt;
  std::memcpy(&event, bytes.data(), sizeof event);
  if (!known_type(event.type)) return std::nullopt;

  std::optional<Flow> decoded(std::in_place);
  Flow& flow = *decoded;
  flow.time_ns = static_cast<std::int64_t>(event.time_ns);
  flow.type = static_cast<FlowType>(event.type);
  flow.protocol = event.proto;
  flow.hook = event.hook;
  flow.out = event.out;
  flow.reason = event.reason;
  flow.kernel_reason = event.kernel_reason;
  flow.by_responder = (event.flags & WEIR_EVENT_BY_RESPONDER) != 0;
  flow.reset = (event.flags & WEIR_EVENT_RESET) != 0;
  flow.seen_closed = (event.flags & WEIR_EVENT_SEEN_CLOSED) != 0;
  flow.replied = (event.flags & WEIR_EVENT_REPLIED) != 0;
  flow.source.address = address_of(event.src);
  flow.destination.address = address_of(event.dst);
  take_ports(event, flow);
  flow.nat_address = address_of(event.nat_addr);
  flow.nat_port = ntohs(event.nat_port);
  flow.backend.address = address_of(event.to_addr);
  flow.backend.port = ntohs(event.to_port);
  flow.service_id = event.service;
  flow.ifindex = event.ifindex;
  flow.length = event.length;
  flow.duration_ns = event.duration_ns;
  flow.packets = {event.packets[0], event.packets[1]};
  flow.bytes = {event.bytes[0], event.bytes[1]};
  return decoded;
}

std::string_view flow_type_name(FlowType type) {
  switch (type) {
    case FlowType::kNew:
      return "new";
    case FlowType::kEstablished:
      return "established";
    case FlowType::kClosed:
      return "closed";
    case FlowType::kEnded:
      return "ended";
    case FlowType::kDropped:
      return "dropped";
  }
  return "?";
}

std::optional<FlowType> parse_flow_type(std::string_view text) {
  for (const FlowType type : kFlowTypes) {
    if (same_word(text, flow_type_name(type))) return type;
  }
  return std::nullopt;
}

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::kDropped ? "dropped" : "forwarded";
}

std::optional<Verdict> parse_verdict(std::string_view text) {
  for (const Verdict verdict : {Verdict::kForwarded, Verdict::kDropped}) {
    if (same_word(text, verdict_name(verdict))) return verdict;
  }
  return std::nullopt;
}

std::string_view hook_name(std::uint8_t hook) {
  switch (hook) {
    case WEIR_HOOK_FROM_POD:
      return "from_pod";
    case WEIR_HOOK_TO_POD:
      return "to_pod";
    case WEIR_HOOK_FROM_NET:
      return "from_net";
    case WEIR_HOOK_TO_NET:
      return "to_net";
    case WEIR_HOOK_SOCKET:
      return "socket";
    case WEIR_HOOK_XDP:
      return "xdp";
    case WEIR_HOOK_KERNEL:
      return "kernel";
    default:
      return "?";
  }
}

std::string_view out_name(std::uint8_t out) {
  switch (out) {
    case WEIR_OUT_NONE:
      return "none";
    case WEIR_OUT_LOCAL:
      return "local";
    case WEIR_OUT_TUNNEL:
      return "tunnel";
    case WEIR_OUT_DIRECT:
      return "direct";
    case WEIR_OUT_HOST:
      return "host";
    default:
      return "?";
  }
}

std::string_view drop_name(std::uint8_t reason) {
  const DropReason* drop = find_drop(reason);
  return drop == nullptr ? "UNKNOWN" : drop->name;
}

std::string_view drop_text(std::uint8_t reason) {
  const DropReason* drop = find_drop(reason);
  return drop == nullptr ? "reason unknown to this version of weir" : drop->text;
}

std::string_view drop_name(const Flow& flow) {
  return flow.kernel_reason_name.empty() ? drop_name(flow.reason) : flow.kernel_reason_name;
}

std::string_view drop_text(const Flow& flow) {
  return flow.kernel_reason_name.empty() ? drop_text(flow.reason)
                                         : kernel_drop_text(flow.kernel_reason_name);
}

std::string_view kernel_drop_text(std::string_view name) {
  const auto* found = std::ranges::find(kKernelDrops, name, &KernelDropText::name);
  return found == std::end(kKernelDrops) ? drop_text(WEIR_DROP_KERNEL) : found->text;
}

std::optional<std::uint8_t> parse_drop(std::string_view name) {
  for (const DropReason& drop : kDrops) {
    if (same_word(name, drop.name)) return drop.number;
  }
  return std::nullopt;
}

std::string_view known_ip_protocol(std::uint8_t protocol) {
  const auto* found = std::ranges::find(kProtocols, protocol, &IpProtocol::number);
  return found == std::end(kProtocols) ? std::string_view() : found->name;
}

std::string ip_protocol_name(std::uint8_t protocol) {
  const std::string_view known = known_ip_protocol(protocol);
  return known.empty() ? fmt::to_string(protocol) : std::string(known);
}

std::optional<std::uint8_t> parse_ip_protocol(std::string_view text) {
  for (const IpProtocol& protocol : kProtocols) {
    if (same_word(text, protocol.name)) return protocol.number;
  }
  std::uint8_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace weir
