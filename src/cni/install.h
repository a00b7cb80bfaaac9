#pragma once

#include <string>

namespace weir::cni {

// Puts this program into `folder` under its own name, in one step: a runtime that calls it
// meanwhile finds the old one or the new one, whole. Returns what went wrong; empty: nothing.
std::string install(const std::string& folder);

}  // namespace weir::cni
