#pragma once

#include <string>
#include <string_view>

namespace weir::cli {

// A list of Kubernetes objects as JSON, without what may be a secret: values of environment
// variables, arguments and commands of containers that are not Weir's, copies of manifests in
// annotations, managed fields. What is no JSON becomes empty.
std::string redacted(std::string_view json);

}  // namespace weir::cli
