#pragma once

#include <string>
#include <vector>

#include "model/pod.h"
#include "model/service.h"

namespace weir::local {

// /etc/hosts of `self` where there is DNS: its own name.
std::string render_hosts(const Pod& self);

// /etc/hosts of `self` where there is none: pods by name, Services by their ClusterIPs, headless
// ones by the addresses of their ready pods. Short names are those of its own namespace. Which of
// these pods comes first differs from pod to pod, since many clients take the first.
std::string render_hosts(const Pod& self, const std::vector<Pod>& pods,
                         const std::vector<Service>& services);

}  // namespace weir::local
