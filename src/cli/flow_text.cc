#include "cli/flow_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include "cli/table.h"

namespace weir::cli {
namespace {

constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kOff = "\x1b[0m";

std::string painted(std::string_view colour, std::string_view text, const FlowStyle& style) {
  return style.colour ? fmt::format("{}{}{}", colour, text, kOff) : std::string(text);
}

std::string time_text(std::int64_t time_ns) {
  const auto seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  return fmt::format("{:%H:%M:%S}.{:03}", fmt::localtime(seconds), time_ns / 1'000'000 % 1000);
}

struct Mark {
  std::string_view sign;
  std::string_view colour;
};

Mark mark_of(const Flow& flow) {
  switch (flow.type) {
    case FlowType::kNew:
      return {"+", kGreen};
    case FlowType::kEstablished:
      return {"✓", kGreen};
    case FlowType::kClosed:
      return {"-", flow.reset ? kYellow : kDim};
    case FlowType::kEnded:
      return {"-", flow.replied ? kDim : kYellow};
    case FlowType::kDropped:
      return {"✗", kRed};
  }
  return {"?", kRed};
}

std::string way_text(const Flow& flow) {
  switch (flow.out) {
    case WEIR_OUT_LOCAL:
      return "to a pod on this node";
    case WEIR_OUT_TUNNEL:
      return "by tunnel";
    case WEIR_OUT_DIRECT:
      return "by the network";
    case WEIR_OUT_HOST:
      return "to the node itself";
    default:
      return "";
  }
}

std::string traffic_text(const Flow& flow) {
  return fmt::format("{} ↑ {} ↓, {}", bytes_text(flow.bytes[0]), bytes_text(flow.bytes[1]),
                     duration_text(flow.duration_ns));
}

std::string translation_text(const Flow& flow) {
  if (flow.nat_address.is_zero()) return "";
  const FlowEnd end{flow.nat_address, flow.nat_port, nullptr};
  return fmt::format(", as {}", end_text(end));
}

std::string sender_text(const Flow& flow) {
  if (!flow.sent_by) return "";
  return fmt::format(", sent by {}/{}", flow.sent_by->namespace_, flow.sent_by->pod);
}

std::string story(const Flow& flow) {
  switch (flow.type) {
    case FlowType::kNew:
      return way_text(flow) + translation_text(flow);
    case FlowType::kEstablished:
      return fmt::format("{} {}", flow.protocol == IPPROTO_TCP ? "handshake" : "answer after",
                         duration_text(flow.duration_ns));
    case FlowType::kClosed:
      return fmt::format("{}, {} by {}", traffic_text(flow), flow.reset ? "reset" : "closed",
                         flow.by_responder ? "destination" : "source");
    case FlowType::kEnded:
      return traffic_text(flow) + (flow.replied ? "" : ", no answer");
    case FlowType::kDropped:
      return fmt::format("{} ({}, at {}){}", drop_text(flow), drop_name(flow), hook_name(flow.hook),
                         sender_text(flow));
  }
  return "";
}

std::string address_text(const Address& address, std::uint16_t port) {
  if (port == 0) return address.to_string();
  return fmt::format(fmt::runtime(address.is_v4() ? "{}:{}" : "[{}]:{}"), address.to_string(),
                     port);
}

std::string service_text(const ServiceName& service) {
  return service.namespace_ + "/" + service.name;
}

std::string with_port(std::string name, std::uint16_t port) {
  return port == 0 ? name : fmt::format("{}:{}", name, port);
}

std::string protocol_text(const Flow& flow) {
  const std::string protocol = ip_protocol_name(flow.protocol);
  if (!flow.icmp) return protocol;
  return fmt::format("{} {}", protocol, icmp_text(flow.protocol, *flow.icmp));
}

struct IcmpName {
  std::uint8_t protocol;
  std::uint8_t type;
  int code;  // -1: any
  std::string_view name;
};

constexpr IcmpName kIcmp[] = {
    {1, 0, -1, "echo reply"},
    {1, 3, 0, "network unreachable"},
    {1, 3, 1, "host unreachable"},
    {1, 3, 3, "port unreachable"},
    {1, 3, 4, "fragmentation needed"},
    {1, 3, -1, "destination unreachable"},
    {1, 8, -1, "echo request"},
    {1, 11, -1, "time exceeded"},
    {58, 1, 0, "no route"},
    {58, 1, 3, "address unreachable"},
    {58, 1, 4, "port unreachable"},
    {58, 1, -1, "destination unreachable"},
    {58, 2, -1, "packet too big"},
    {58, 3, -1, "time exceeded"},
    {58, 128, -1, "echo request"},
    {58, 129, -1, "echo reply"},
    {58, 133, -1, "router solicitation"},
    {58, 135, -1, "neighbour solicitation"},
    {58, 136, -1, "neighbour advertisement"},
    {58, 143, -1, "multicast listener report"},
};

}  // namespace

std::string icmp_text(std::uint8_t protocol, const Icmp& icmp) {
  for (const IcmpName& known : kIcmp) {
    if (known.protocol == protocol && known.type == icmp.type &&
        (known.code == -1 || known.code == icmp.code)) {
      return std::string(known.name);
    }
  }
  return fmt::format("type {} code {}", icmp.type, icmp.code);
}

std::string end_text(const FlowEnd& end) {
  if (!end.name) return address_text(end.address, end.port);
  switch (end.name->kind) {
    case NameKind::kPod:
      return with_port(end.name->namespace_ + "/" + end.name->pod, end.port);
    case NameKind::kNode:
      return with_port("node " + end.name->node, end.port);
    case NameKind::kService:
      return with_port(end.name->namespace_ + "/" + end.name->service, end.port);
    case NameKind::kUnknown:
      return "unknown " + address_text(end.address, end.port);
    case NameKind::kOutside:
      break;
  }
  return address_text(end.address, end.port);
}

// "shop/cart (service, 10.96.3.4:80 → shop/cart-7d9-x2x:8080)"
std::string destination_text(const Flow& flow) {
  const std::string backend = flow.backend.address.is_zero() ? "" : " → " + end_text(flow.backend);
  const auto& name = flow.destination.name;
  const bool named = name && name->kind == NameKind::kService;
  if (!flow.service && !named) return end_text(flow.destination) + backend;
  const std::string service =
      flow.service ? service_text(*flow.service) : name->namespace_ + "/" + name->service;
  // A pod: the socket has addressed the backend itself.
  if (name && name->kind == NameKind::kPod) {
    return fmt::format("{} (service → {})", service, end_text(flow.destination));
  }
  return fmt::format("{} (service, {}{})", service,
                     address_text(flow.destination.address, flow.destination.port), backend);
}

std::string flow_text(const Flow& flow, std::string_view node, const FlowStyle& style) {
  const Mark mark = mark_of(flow);
  std::string out = painted(kDim, time_text(flow.time_ns), style) + "  ";
  if (style.node) out += fmt::format("{:<4} ", node);
  out +=
      painted(mark.colour, fmt::format("{} {:<11}", mark.sign, flow_type_name(flow.type)), style);
  out += fmt::format("  {} → {}  {}", end_text(flow.source), destination_text(flow),
                     protocol_text(flow));
  const std::string told = story(flow);
  if (!told.empty()) {
    const bool loud = flow.type == FlowType::kDropped;
    out += "  " + painted(loud ? kRed : kDim, told, style);
  }
  return out + "\n";
}

std::string lost_text(std::string_view node, std::uint64_t count, const FlowStyle& style) {
  return painted(kYellow,
                 fmt::format("... {} flows of {} were not shown: this reader was too slow", count,
                             node.empty() ? "the agent" : node),
                 style) +
         "\n";
}

}  // namespace weir::cli
