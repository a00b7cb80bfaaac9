#include "model/pod.h"

#include <charconv>
#include <cmath>
#include <utility>

namespace weir {
namespace {

constexpr PodPhase kPhases[] = {PodPhase::kPending, PodPhase::kRunning, PodPhase::kSucceeded,
                                PodPhase::kFailed, PodPhase::kUnknown};

constexpr std::pair<std::string_view, double> kQuantitySuffixes[] = {
    {"", 1},
    {"k", 1e3},
    {"M", 1e6},
    {"G", 1e9},
    {"T", 1e12},
    {"P", 1e15},
    {"Ki", 1024.0},
    {"Mi", 1024.0 * 1024},
    {"Gi", 1024.0 * 1024 * 1024},
    {"Ti", 1024.0 * 1024 * 1024 * 1024}};
constexpr double kMinBandwidth = 1e3;
constexpr double kMaxBandwidth = 1e15;

}  // namespace

std::string_view phase_name(PodPhase phase) {
  switch (phase) {
    case PodPhase::kPending:
      return "Pending";
    case PodPhase::kRunning:
      return "Running";
    case PodPhase::kSucceeded:
      return "Succeeded";
    case PodPhase::kFailed:
      return "Failed";
    case PodPhase::kUnknown:
      return "Unknown";
  }
  return "?";
}

std::optional<PodPhase> parse_phase(std::string_view text) {
  for (const PodPhase phase : kPhases) {
    if (text == phase_name(phase)) return phase;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> parse_weight(std::string_view text) {
  std::uint32_t out = 0;
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, out);
  if (ec != std::errc() || stop != end || out < 1 || out > Pod::kMaxWeight) return std::nullopt;
  return out;
}

std::optional<std::uint64_t> parse_bandwidth(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, number);
  if (ec != std::errc()) return std::nullopt;
  for (const auto& [suffix, unit] : kQuantitySuffixes) {
    if (std::string_view(stop, end) != suffix) continue;
    const double value = std::ceil(number * unit);
    if (!(value >= kMinBandwidth && value <= kMaxBandwidth)) return std::nullopt;
    return static_cast<std::uint64_t>(value);
  }
  return std::nullopt;
}

}  // namespace weir
