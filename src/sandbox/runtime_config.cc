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
constexpr std::uint64_t kMaxBurst = 8ULL * std::numeric_limits<std::uint32_t>::max();
// What runtimes say that were told a rate alone.
constexpr std::uint64_t kNoBurst[] = {std::numeric_limits<std::int32_t>::max(),
                                      std::numeric_limits<std::uint32_t>::max()};

Failure wrong(std::string message) { return {kInvalidConfig, std::move(message), {}}; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Absent and null are null.
const Json& member(const Json& object, std::string_view name) {
  static const Json kNone;
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::equal(key, name, {}, lower, lower)) return value;
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

}  // namespace

std::optional<Failure> take_runtime_config(const Json& config, Request& request) {
  const auto found = config.find("runtimeConfig");
  if (found == config.end() || found->is_null()) return {};
  if (!found->is_object()) return wrong("'runtimeConfig' is not an object");
  return take_bandwidth(member(*found, "bandwidth"), request);
}

}  // namespace weir::cni
