#pragma once

#include <string>

#include "model/object.h"

namespace weir {

// Kubernetes JSON of the objects: what parse_object() reads back to an equal value.
std::string to_json(const Node& node);
std::string to_json(const Namespace& ns);
std::string to_json(const Pod& pod);
std::string to_json(const Service& service);
std::string to_json(const EndpointSlice& slice);
std::string to_json(const PodEndpoint& endpoint);
std::string to_json(const Object& object);

// Where a DirectorySource looks for an object, below its directory:
// "<Kind>/<namespace, or _>/<name>.json".
std::string object_path(Kind kind, const ObjectKey& key);

}  // namespace weir
