#pragma once

#include <string>
#include <string_view>

#include "observe/flow.h"

namespace weir {

// Appends one flow line of docs/architecture.md (API), with its line end. REQUIRES: names are set.
// Written by hand since it is the one hot format: FlowJson.* tests compare it with a JSON parser.
void append_flow_json(std::string& out, const Flow& flow, std::string_view node);

// Appends the text as a JSON string, in quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

}  // namespace weir
