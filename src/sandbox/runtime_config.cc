#include "sandbox/runtime_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace weir::cni {
namespace {

using Json = nlohmann::json;
using Wrong = std::optional<Failure>;

constexpr std::uint64_t kMinRate = 1000;
constexpr std::uint64_t kMaxRate = 1'000'000'000'000'000;
constexpr std::size_t kMaxMappings = 1024;
constexpr std::uint64_t kMaxBurst = 8ULL * std::numeric_limits<std::uint32_t>::max();
// What runtimes say that were told a rate alone.
constexpr std::uint64_t kNoBurst[] = {std::numeric_limits<std::int32_t>::max(),
                                      std::numeric_limits<std::uint32_t>::max()};

Failure wrong(std::string message) { return {kInvalidConfig, std::move(message), {}}; }

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Absent and null are null; so is what is in no object.
const Json& member(const Json& object, std::string_view name) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (std::ranges::equal(it.key(), name, {}, lower, lower)) return it.value();
  }
  return kNone;
}

Wrong take_number(const Json& object, std::string_view name, std::uint64_t max,
                  std::uint64_t& into) {
  const Json& found = member(object, name);
  if (found.is_null()) return {};
  if (!found.is_number_unsigned() || found.get<std::uint64_t>() > max) {
    return wrong(
        fmt::format("'runtimeConfig.bandwidth.{}' is not a whole number from 0 to {}", name, max));
  }
  into = found.get<std::uint64_t>();
  return {};
}

Wrong take_direction(const Json& object, const std::string& name, Bandwidth& into) {
  const std::string rate = name + "Rate";
  const std::string burst = name + "Burst";
  if (auto bad = take_number(object, rate, kMaxRate, into.rate)) return bad;
  if (auto bad = take_number(object, burst, kMaxBurst, into.burst)) return bad;
  if (into.rate == 0 && into.burst != 0) {
    return wrong(fmt::format("'runtimeConfig.bandwidth' has {} without {}", burst, rate));
  }
  if (into.rate != 0 && into.rate < kMinRate) {
    return wrong(
        fmt::format("'runtimeConfig.bandwidth.{}' is below {} bits per second", rate, kMinRate));
  }
  if (std::ranges::find(kNoBurst, into.burst) != std::end(kNoBurst)) into.burst = 0;
  return {};
}

Wrong take_bandwidth(const Json& bandwidth, Request& request) {
  if (bandwidth.is_null()) return {};
  if (!bandwidth.is_object()) return wrong("'runtimeConfig.bandwidth' is not an object");
  if (auto bad = take_direction(bandwidth, "ingress", request.ingress)) return bad;
  return take_direction(bandwidth, "egress", request.egress);
}

std::optional<Protocol> protocol_of(const Json& found) {
  if (found.is_null()) return Protocol::kTcp;
  if (!found.is_string()) return std::nullopt;
  auto name = found.get<std::string>();
  if (name.empty()) return Protocol::kTcp;
  std::ranges::transform(name, name.begin(), upper);
  return parse_protocol(name);
}

bool take_port(const Json& found, std::uint16_t& into) {
  if (!found.is_number_unsigned()) return false;
  const auto number = found.get<std::uint64_t>();
  if (number == 0 || number > std::numeric_limits<std::uint16_t>::max()) return false;
  into = static_cast<std::uint16_t>(number);
  return true;
}

Wrong take_mapping(const Json& one, const std::string& where, HostPort& into) {
  if (!one.is_object()) return wrong(where + " is not an object");
  if (!take_port(member(one, "hostPort"), into.host_port)) {
    return wrong(where + ".hostPort is not a port from 1 to 65535");
  }
  if (!take_port(member(one, "containerPort"), into.port)) {
    return wrong(where + ".containerPort is not a port from 1 to 65535");
  }
  const auto protocol = protocol_of(member(one, "protocol"));
  if (!protocol) return wrong(where + ".protocol is not tcp, udp or sctp");
  into.protocol = *protocol;
  const Json& host_ip = member(one, "hostIP");
  if (host_ip.is_null() || host_ip == "") return {};
  const auto address = host_ip.is_string() ? Address::parse(host_ip.get<std::string>())
                                           : Result<Address>(Error(Code::kInvalid, ""));
  if (!address) return wrong(where + ".hostIP is not an address");
  into.host_ip = *address;
  return {};
}

Wrong take_mappings(const Json& mappings, Request& request) {
  if (mappings.is_null()) return {};
  if (!mappings.is_array()) return wrong("'runtimeConfig.portMappings' is not a list");
  if (mappings.size() > kMaxMappings) {
    return wrong(fmt::format("'runtimeConfig.portMappings' has more than {} ports", kMaxMappings));
  }
  for (const auto& one : mappings) {
    HostPort port;
    const auto where = fmt::format("'runtimeConfig.portMappings[{}]'", request.ports.size());
    if (auto bad = take_mapping(one, where, port)) return bad;
    const auto other = std::ranges::find_if(
        request.ports, [&port](const HostPort& each) { return overlap(each, port); });
    if (other != request.ports.end()) {
      return wrong(fmt::format("{}: host port {}/{} is there twice", where, port.host_port,
                               protocol_name(port.protocol)));
    }
    request.ports.push_back(port);
  }
  return {};
}

// "10.10.0.1/24": who gives addresses has the prefix, so it is left alone.
Wrong take_addresses(const Json& list, const std::string& where, Request& request) {
  if (list.is_null()) return {};
  if (!list.is_array()) return wrong(where + " is not a list");
  for (const auto& one : list) {
    const auto text = one.is_string() ? one.get<std::string>() : std::string();
    const auto address = Address::parse(text.substr(0, text.find('/')));
    if (!address || !Cidr::parse(text)) return wrong(where + " has something that is no address");
    if (auto bad = want_address(*address, where, request)) return bad;
  }
  return {};
}

}  // namespace

std::optional<Failure> want_address(const Address& address, const std::string& where,
                                    Request& request) {
  for (const auto& other : request.requested) {
    if (other == address) return {};
    if (other.family() != address.family()) continue;
    return wrong(
        fmt::format("{}: {} and {} are both asked for, and a pod has one address of a family",
                    where, other.to_string(), address.to_string()));
  }
  request.requested.push_back(address);
  return {};
}

std::optional<Failure> take_runtime_config(const Json& config, Request& request) {
  const Json& wishes = member(member(config, "args"), "cni");
  if (auto bad = take_addresses(member(wishes, "ips"), "'args.cni.ips'", request)) return bad;
  const Json& runtime = member(config, "runtimeConfig");
  if (runtime.is_null()) return {};
  if (!runtime.is_object()) return wrong("'runtimeConfig' is not an object");
  if (auto bad = take_addresses(member(runtime, "ips"), "'runtimeConfig.ips'", request)) return bad;
  if (auto bad = take_mappings(member(runtime, "portMappings"), request)) return bad;
  return take_bandwidth(member(runtime, "bandwidth"), request);
}

}  // namespace weir::cni
