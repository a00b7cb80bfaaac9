#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "k8s/manifests.h"
#include "local/init.h"

namespace weir::local {

// "$(NAME)" becomes the variable's value, "$$" becomes "$"; what is not known stays as it is.
std::string expand_variables(std::string_view text, const std::map<std::string, std::string>& env);

// The value of a fieldRef; empty when the pod has no such thing.
std::string field_value(const Pod& pod, const Labels& annotations, const Address& host,
                        const std::string& field_path);

// A container as the pod's init wants it: program, arguments and environment are final.
InitContainer make_container(const Container& container, const Pod& pod, const Labels& annotations,
                             const Address& host, std::string log);

}  // namespace weir::local
