#pragma once

#include <string>
#include <vector>

#include "api/services.h"

namespace weir::cli {

// One Service, as each of some nodes sees it. Never empty.
using ServiceOnNodes = std::vector<api::ServiceInfo>;

// Sorts what several nodes said by Service, then node.
std::vector<ServiceOnNodes> by_service(std::vector<api::ServiceInfo> all);

// A row for each.
std::string services_text(const std::vector<ServiceOnNodes>& services);
// All of one.
std::string service_text(const ServiceOnNodes& service);

}  // namespace weir::cli
