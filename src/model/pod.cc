#include "model/pod.h"

#include <charconv>

namespace weir {
namespace {

constexpr PodPhase kPhases[] = {PodPhase::kPending, PodPhase::kRunning, PodPhase::kSucceeded,
                                PodPhase::kFailed, PodPhase::kUnknown};

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

}  // namespace weir
