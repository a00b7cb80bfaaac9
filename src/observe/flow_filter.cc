#include "observe/flow_filter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace weir {
namespace {

// An empty list matches all.
template <typename T, typename Claim>
bool any_of(const std::vector<T>& wanted, Claim claim) {
  return wanted.empty() || std::ranges::any_of(wanted, claim);
}

bool any_end(const Flow& flow, auto claim) {
  return claim(flow.source) || claim(flow.destination) ||
         (!flow.backend.address.is_zero() && claim(flow.backend));
}

// Any end, or who really sent a packet with another's address.
bool anybody(const Flow& flow, auto claim) {
  const auto named = [&](const std::shared_ptr<const Name>& name) { return name && claim(*name); };
  return named(flow.source.name) || named(flow.destination.name) || named(flow.backend.name) ||
         named(flow.sent_by);
}

bool is_pod(const Name& name, const ObjectKey& wanted) {
  if (name.kind != NameKind::kPod) return false;
  if (!wanted.namespace_.empty() && name.namespace_ != wanted.namespace_) return false;
  return name.pod == wanted.name || name.workload == wanted.name;
}

bool is_named(const ObjectKey& wanted, const std::string& namespace_, const std::string& name) {
  return (wanted.namespace_.empty() || wanted.namespace_ == namespace_) && wanted.name == name;
}

bool is_to_service(const Flow& flow, const ObjectKey& wanted) {
  if (flow.service) return is_named(wanted, flow.service->namespace_, flow.service->name);
  const auto& name = flow.destination.name;
  return name && name->kind == NameKind::kService &&
         is_named(wanted, name->namespace_, name->service);
}

bool is_background(const Flow& flow) {
  return (flow.type == FlowType::kDropped && flow.reason == WEIR_DROP_LINK_MULTICAST) ||
         (flow.type == FlowType::kEnded && flow.seen_closed);
}

Error refuse(std::string_view name, std::string_view value, std::string_view wanted) {
  return Error(Code::kInvalid, fmt::format("{}: '{}' is not {}", name, value, wanted));
}

std::string type_names() {
  std::vector<std::string_view> names;
  for (const FlowType type : kFlowTypes) names.push_back(flow_type_name(type));
  return fmt::format("one of {}", fmt::join(names, ", "));
}

std::string reason_names() {
  std::vector<std::string_view> names;
  for (std::uint8_t reason = 1; reason < WEIR_DROP_MAX; ++reason) {
    if (const auto name = drop_name(reason); parse_drop(name) == reason) names.push_back(name);
  }
  return fmt::format("one of {}", fmt::join(names, ", "));
}

// Puts what the parser found into the list.
template <typename T>
Result<void> put(std::vector<T>& list, const auto& parsed, std::string_view name,
                 std::string_view value, std::string_view wanted) {
  if (!parsed) return refuse(name, value, wanted);
  list.push_back(*parsed);
  return {};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (ec != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::optional<ObjectKey> parse_key(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    return text.empty() ? std::nullopt : std::optional(ObjectKey{"", std::string(text)});
  }
  ObjectKey key{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
  if (key.namespace_.empty() || key.name.empty() || key.name.find('/') != std::string::npos) {
    return std::nullopt;
  }
  return key;
}

}  // namespace

bool FlowFilter::matches(const Flow& flow) const {
  if (quiet && is_background(flow)) return false;
  return any_of(types, [&](FlowType type) { return type == flow.type; }) &&
         any_of(verdicts, [&](Verdict verdict) { return verdict == flow.verdict(); }) &&
         any_of(reasons,
                [&](std::uint8_t reason) {
                  return flow.type == FlowType::kDropped && reason == flow.reason;
                }) &&
         any_of(protocols, [&](std::uint8_t protocol) { return protocol == flow.protocol; }) &&
         any_of(ports,
                [&](std::uint16_t port) {
                  return any_end(flow, [&](const FlowEnd& end) { return end.port == port; });
                }) &&
         any_of(addresses,
                [&](const Cidr& cidr) {
                  return any_end(flow,
                                 [&](const FlowEnd& end) { return cidr.contains(end.address); });
                }) &&
         any_of(namespaces,
                [&](const std::string& wanted) {
                  return anybody(flow, [&](const Name& name) { return name.namespace_ == wanted; });
                }) &&
         any_of(services, [&](const ObjectKey& service) { return is_to_service(flow, service); }) &&
         any_of(pods, [&](const ObjectKey& pod) {
           return anybody(flow, [&](const Name& name) { return is_pod(name, pod); });
         });
}

Result<void> FlowFilter::add(std::string_view name, std::string_view value) {
  if (name == "namespace") {
    if (value.empty()) return refuse(name, value, "a namespace");
    namespaces.emplace_back(value);
    return {};
  }
  if (name == "pod") return put(pods, parse_key(value), name, value, "NAMESPACE/POD or POD");
  if (name == "service") {
    return put(services, parse_key(value), name, value, "NAMESPACE/SERVICE or SERVICE");
  }
  if (name == "address") {
    return put(addresses, Cidr::parse(value), name, value,
               "an address or CIDR such as 10.244.1.5 or fd00::/64");
  }
  if (name == "port") return put(ports, parse_port(value), name, value, "a port from 1 to 65535");
  if (name == "protocol") {
    return put(protocols, parse_ip_protocol(value), name, value,
               "TCP, UDP, ICMP, ICMPv6, SCTP or a number from 0 to 255");
  }
  if (name == "verdict") {
    return put(verdicts, parse_verdict(value), name, value, "forwarded or dropped");
  }
  if (name == "reason") return put(reasons, parse_drop(value), name, value, reason_names());
  if (name == "type") return put(types, parse_flow_type(value), name, value, type_names());
  if (name == "quiet") {
    if (value != "0" && value != "1") return refuse(name, value, "0 or 1");
    quiet = value == "1";
    return {};
  }
  return Error(Code::kNotFound, fmt::format("{}: no such parameter", name));
}

}  // namespace weir
