#pragma once

#include <simdjson.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "model/object.h"

namespace weir::k8s {

// As parse_object(), of an object of a known kind that is part of a document: items of lists have
// no kind of their own.
Result<Object> read_object(Kind kind, simdjson::dom::element object,
                           std::vector<std::string>* notes);

}  // namespace weir::k8s
