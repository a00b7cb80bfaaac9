#include "api/query.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "abi/capture.h"

namespace weir::api {
namespace {

constexpr std::size_t kMostParameters = 64;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return Error(Code::kInvalid, fmt::format("'{}': '%' wants two hex digits after it", text));
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

// A whole number from `least` to `most`.
template <typename T>
Result<void> take_number(std::string_view name, std::string_view value, T least, T most, T& out) {
  T number{};
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (ec != std::errc() || end != value.data() + value.size() || number < least || number > most) {
    return Error(Code::kInvalid,
                 fmt::format("{}: '{}' is not a number from {} to {}", name, value, least, most));
  }
  out = number;
  return {};
}

Result<void> take_address(std::string_view name, std::string_view value,
                          std::optional<Address>& out) {
  auto address = Address::parse(value);
  if (!address) return address.error().within(name);
  out = *address;
  return {};
}

Result<void> take_key(std::string_view name, std::string_view value, std::string_view form,
                      std::optional<ObjectKey>& out) {
  const auto slash = value.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == value.size() ||
      value.find('/', slash + 1) != std::string_view::npos) {
    return Error(Code::kInvalid, fmt::format("{}: '{}' is not {}", name, value, form));
  }
  out = ObjectKey{std::string(value.substr(0, slash)), std::string(value.substr(slash + 1))};
  return {};
}

Result<void> take_capture(std::string_view name, std::string_view value, CaptureRequest& out) {
  if (name == "pod") return take_key(name, value, "NAMESPACE/POD", out.pod);
  if (name == "address") return take_address(name, value, out.address);
  if (name == "peer") return take_address(name, value, out.peer);
  if (name == "port") return take_number<std::uint16_t>(name, value, 1, 65535, out.port);
  if (name == "peer_port") return take_number<std::uint16_t>(name, value, 1, 65535, out.peer_port);
  if (name == "protocol") {
    const auto protocol = parse_ip_protocol(value);
    if (!protocol || *protocol == 0) {
      return Error(Code::kInvalid, fmt::format("{}: '{}' is not TCP, UDP, ICMP, ICMPv6, SCTP or a "
                                               "number from 1 to 255",
                                               name, value));
    }
    out.protocol = *protocol;
    return {};
  }
  if (name == "snap") {
    return take_number<std::uint16_t>(name, value, 14, WEIR_CAPTURE_SNAP, out.snap);
  }
  if (name == "packets") {
    return take_number<std::uint64_t>(name, value, 1, 10'000'000, out.packets);
  }
  if (name == "bytes") return take_number<std::uint64_t>(name, value, 1, 1ULL << 40, out.bytes);
  if (name == "seconds") return take_number<std::uint64_t>(name, value, 1, 86400, out.seconds);
  return Error(Code::kInvalid, fmt::format("{}: no such parameter of /v1/capture", name));
}

}  // namespace

Result<Query> parse_target(std::string_view target) {
  const auto mark = target.find('?');
  Query query;
  query.path = target.substr(0, mark);
  std::string_view rest =
      mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  while (!rest.empty()) {
    const auto end = rest.find('&');
    const std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (pair.empty()) continue;
    if (query.parameters.size() == kMostParameters) {
      return Error(Code::kInvalid, fmt::format("more than {} parameters", kMostParameters));
    }
    const auto equals = pair.find('=');
    WEIR_ASSIGN(auto name, decode(pair.substr(0, equals)));
    WEIR_ASSIGN(auto value, decode(equals == std::string_view::npos ? std::string_view()
                                                                    : pair.substr(equals + 1)));
    query.parameters.emplace_back(std::move(name), std::move(value));
  }
  return query;
}

Result<FlowsRequest> parse_flows(const Query& query) {
  FlowsRequest request;
  bool last_given = false;
  for (const auto& [name, value] : query.parameters) {
    if (name == "follow") {
      unsigned follow = 0;
      WEIR_TRY(take_number<unsigned>(name, value, 0, 1, follow));
      request.follow = follow == 1;
    } else if (name == "last") {
      last_given = true;
      WEIR_TRY(take_number<std::size_t>(name, value, 0, 1'000'000, request.last));
    } else if (auto added = request.filter.add(name, value); !added) {
      if (added.error().code() != Code::kNotFound) return std::move(added).error();
      return Error(Code::kInvalid, fmt::format("{}: no such parameter of /v1/flows", name));
    }
  }
  if (!request.follow && !last_given) request.last = std::numeric_limits<std::size_t>::max();
  return request;
}

Result<ServicesRequest> parse_services(const Query& query) {
  ServicesRequest request;
  for (const auto& [name, value] : query.parameters) {
    if (name == "service") {
      WEIR_TRY(take_key(name, value, "NAMESPACE/SERVICE", request.only));
    } else if (name == "namespace") {
      request.namespace_ = value;
    } else {
      return Error(Code::kInvalid, fmt::format("{}: no such parameter of /v1/services", name));
    }
  }
  return request;
}

Result<CaptureRequest> parse_capture(const Query& query) {
  CaptureRequest request;
  for (const auto& [name, value] : query.parameters) {
    WEIR_TRY(take_capture(name, value, request));
  }
  // {address, port} is one end; a pod's port alone may be of the peer it talks to.
  request.port_of_any = request.pod && request.port != 0 && request.peer_port == 0;
  return request;
}

}  // namespace weir::api
