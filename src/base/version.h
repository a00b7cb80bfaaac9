#pragma once

namespace weir {

// Of the whole: CMake's project(VERSION).
inline constexpr const char* kVersion = WEIR_VERSION;

}  // namespace weir
