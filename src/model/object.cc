#include "model/object.h"

namespace weir {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kNode:
      return "Node";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kPod:
      return "Pod";
    case Kind::kService:
      return "Service";
    case Kind::kEndpointSlice:
      return "EndpointSlice";
    case Kind::kPodEndpoint:
      return "PodEndpoint";
  }
  return "?";
}

std::optional<Kind> parse_kind(std::string_view text) {
  for (const Kind kind : kKinds) {
    if (text == kind_name(kind)) return kind;
  }
  return std::nullopt;
}

bool is_namespaced(Kind kind) { return kind != Kind::kNode && kind != Kind::kNamespace; }

Kind kind_of(const Object& object) { return kKinds[object.index()]; }

ObjectKey key_of(const Object& object) {
  return std::visit([](const auto& value) { return value.key(); }, object);
}

}  // namespace weir
