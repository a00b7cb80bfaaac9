#pragma once

#include "k8s/value.h"
#include "model/object.h"

namespace weir::k8s {

// The meaning of each kind's fields, one file per kind. Wrong fields are told to the Value.
Node read_node(const Value& object);
Namespace read_namespace(const Value& object);
Pod read_pod(const Value& object);
Service read_service(const Value& object);

}  // namespace weir::k8s
