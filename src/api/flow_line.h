#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "observe/flow.h"

namespace weir::api {

// A line of the flow stream, read back.
struct FlowLine {
  std::string node;
  Flow flow;
};
struct LostLine {
  std::string node;
  std::uint64_t count = 0;
};

Result<std::variant<FlowLine, LostLine>> parse_flow_line(std::string_view json);

}  // namespace weir::api
