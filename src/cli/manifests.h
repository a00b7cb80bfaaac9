#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::cli {

// The files of deploy/, as this build has them.
extern const std::string_view kCniManifest;
extern const std::string_view kRemoveManifest;
extern const std::string_view kNodeLocalManifest;

// The manifest with another value of a key of ConfigMap weir-config. kInvalid: the value cannot be
// in one.
Result<std::string> with_setting(std::string manifest, const std::string& key,
                                 const std::string& value);
// With the pods' annotation weir.dev/config changed, so that agents are made anew when their
// settings differ.
std::string with_settings_mark(std::string manifest, const std::string& mark);
// With images from elsewhere: "registry.example/weir" in place of weir.dev/weir; tags stay.
std::string with_image(std::string manifest, const std::string& image);

}  // namespace weir::cli
