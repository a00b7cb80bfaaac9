#pragma once

#include <string>

#include "base/result.h"
#include "sys/netns.h"

namespace weir::local {

// Makes a network namespace and binds it to the path, where it lives until removed. Below
// /run/netns `ip netns` knows it too.
Result<Netns> make_netns_file(const std::string& path);
// Binds an existing one to the path.
Result<void> bind_netns_file(const std::string& source, const std::string& path);
// Absent is success.
Result<void> remove_netns_file(const std::string& path);
// The folder of named namespaces is no mount any more when it is empty.
void release_named();

}  // namespace weir::local
