#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "model/endpoint_slice.h"
#include "model/namespace.h"
#include "model/node.h"
#include "model/pod.h"
#include "model/pod_endpoint.h"
#include "model/service.h"

namespace weir {

// Kinds of objects that come from Kubernetes. Same order as Object's alternatives.
enum class Kind : std::uint8_t { kNode, kNamespace, kPod, kService, kEndpointSlice, kPodEndpoint };
inline constexpr Kind kKinds[] = {Kind::kNode,    Kind::kNamespace,     Kind::kPod,
                                  Kind::kService, Kind::kEndpointSlice, Kind::kPodEndpoint};

std::string_view kind_name(Kind kind);
std::optional<Kind> parse_kind(std::string_view text);
bool is_namespaced(Kind kind);

using Object = std::variant<Node, Namespace, Pod, Service, EndpointSlice, PodEndpoint>;

Kind kind_of(const Object& object);
ObjectKey key_of(const Object& object);

// What a source of objects says: this object is now so, or it is gone.
struct Upsert {
  Object object;
  friend bool operator==(const Upsert&, const Upsert&) = default;
};
struct Erase {
  Kind kind;
  ObjectKey key;
  friend bool operator==(const Erase&, const Erase&) = default;
};
using Change = std::variant<Upsert, Erase>;

}  // namespace weir
