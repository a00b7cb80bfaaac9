// Records of the programs' ring buffers, which hold what packets say: flows with their JSON and
// counters, and captured frames.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "observe/flow_json.h"
#include "observe/flow_recorder.h"
#include "observe/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const weir::Name name{.kind = weir::NameKind::kPod, .namespace_ = "shop", .pod = "cart-0"};
  weir::FlowRecorder recorder([](const weir::Address&) -> const weir::Name& { return name; }, 16);
  const auto bytes = std::as_bytes(std::span(data, size));
  // Also one after the other, as a buffer has them.
  constexpr std::size_t kEvent = sizeof(weir_event);
  recorder.on_event(bytes);
  for (std::size_t at = 0; at + kEvent <= bytes.size(); at += kEvent) {
    recorder.on_event(bytes.subspan(at, kEvent));
  }
  recorder.last(16, {}, [](const weir::Flow& flow) {
    std::string line;
    weir::append_flow_json(line, flow, "n0");
    if (nlohmann::json::parse(line, nullptr, false).is_discarded()) std::abort();
  });
  static_cast<void>(weir::parse_frame(bytes));
  return 0;
}
