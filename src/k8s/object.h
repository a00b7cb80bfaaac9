#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/object.h"

namespace weir {

// One Kubernetes object as JSON text -> model. Takes what a real API server sends: fields that Weir
// does not use are ignored. A field of a wrong type or value is one kInvalid Error that names it:
// "Pod shop/cart-0: spec.nodeName: must be a string". What is wrong where Kubernetes checks nothing
// (annotations of Weir), or not known yet, is without effect, and a sentence of `notes`.
Result<Object> parse_object(std::string_view json, std::vector<std::string>* notes = nullptr);

}  // namespace weir
