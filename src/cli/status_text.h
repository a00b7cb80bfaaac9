#pragma once

#include <string>
#include <vector>

#include "api/status.h"

namespace weir::cli {

// Text of `weir status` for one node, and of `weir endpoints` for all.
std::string status_text(const api::Status& status);
std::string endpoints_text(const std::vector<api::EndpointInfo>& endpoints);

}  // namespace weir::cli
