#include "model/pod.h"

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

}  // namespace weir
