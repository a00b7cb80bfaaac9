// What a client of the API may ask: targets and filters are taken or refused by name, and a line of
// flows is read or refused; what was read is written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/flow_line.h"
#include "api/query.h"
#include "observe/flow_json.h"
#include "observe/pcapng.h"

namespace {

void ask(std::string_view text) {
  const auto query = weir::api::parse_target(text);
  if (!query) return;
  const auto flows = weir::api::parse_flows(*query);
  const auto capture = weir::api::parse_capture(*query);
  if (!flows && flows.error().text().empty()) std::abort();
  if (capture && (capture->packets == 0 || capture->seconds == 0)) std::abort();
}

void read_line(std::string_view text) {
  const auto line = weir::api::parse_flow_line(text);
  if (!line || !std::holds_alternative<weir::api::FlowLine>(*line)) return;
  const auto& flow = std::get<weir::api::FlowLine>(*line);
  std::string written;
  weir::append_flow_json(written, flow.flow, flow.node);
  if (!weir::api::parse_flow_line(written)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  ask(text);
  read_line(text);
  weir::pcapng::Merger merger;
  std::string out;
  static_cast<void>(merger.feed(0, text, out));
  return 0;
}
