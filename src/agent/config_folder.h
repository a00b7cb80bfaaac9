#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

// Settings as files of a folder, named as the flags: a ConfigMap as the kubelet mounts it. Gives
// "--name=value" for each value: words of a file (of `sysctl`: lines) are values of a repeatable
// flag, an empty file leaves the default. kInvalid: names a file that is no setting, and the
// setting of the nearest name; kNotFound and others: the folder cannot be read.
Result<std::vector<std::string>> read_config_folder(const std::string& folder,
                                                    const std::vector<std::string>& settings);

// All of the folder's settings as one text, to compare with that of another time.
Result<std::string> config_folder_text(const std::string& folder);

// Of `names`, the one that takes the fewest changes of single letters; empty: none is near.
std::string nearest_name(std::string_view word, const std::vector<std::string>& names);

}  // namespace weir
