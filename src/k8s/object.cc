// JSON text -> model: parses, finds kind and name, and lets the kind's file read the rest.
#include "k8s/object.h"

#include <fmt/format.h>

#include <algorithm>

#include "k8s/kinds.h"
#include "k8s/read_object.h"
#include "k8s/shown.h"

namespace weir {
namespace {

using k8s::shown;
using k8s::Value;

constexpr std::size_t kMaxName = 253;

Object read(Kind kind, const Value& root) {
  switch (kind) {
    case Kind::kNode:
      return k8s::read_node(root);
    case Kind::kNamespace:
      return k8s::read_namespace(root);
    case Kind::kPod:
      return k8s::read_pod(root);
    case Kind::kService:
      return k8s::read_service(root);
    case Kind::kEndpointSlice:
      return k8s::read_endpoint_slice(root);
    case Kind::kPodEndpoint:
      return k8s::read_pod_endpoint(root);
  }
  return Node();
}

// The names become paths, keys and text on terminals.
void check_name(const Value& name) {
  const std::string text = name.text();
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (text.find('/') != std::string::npos) name.wrong("must have no '/'");
  if (std::ranges::any_of(text, is_control)) name.wrong("must have no control characters");
  if (text.size() > kMaxName) name.wrong(fmt::format("must have at most {} characters", kMaxName));
}

void check_names(Kind kind, const Value& metadata) {
  const Value name = metadata["name"];
  const Value space = metadata["namespace"];
  check_name(name);
  check_name(space);
  if (name.text().empty()) name.wrong("is missing");
  if (is_namespaced(kind) && space.text().empty()) space.wrong("is missing");
  if (!is_namespaced(kind) && !space.text().empty()) {
    space.wrong(fmt::format("a {} has none", kind_name(kind)));
  }
}

Result<Object> read_checked(Kind kind, const Value& root, const k8s::Findings& findings,
                            std::vector<std::string>* notes) {
  check_names(kind, root["metadata"]);
  Object out = read(kind, root);
  const std::string subject =
      fmt::format("{} {}", kind_name(kind), shown(key_of(out).to_string(), kMaxName * 2));
  if (findings.problem) return findings.problem->within(subject);
  if (notes == nullptr) return out;
  for (const std::string& note : findings.notes) notes->push_back(subject + ": " + note);
  return out;
}

}  // namespace

Result<Object> parse_object(std::string_view json, std::vector<std::string>* notes) {
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (const auto code = parser.parse(json.data(), json.size()).get(document)) {
    return Error(Code::kInvalid, fmt::format("not JSON: {}", simdjson::error_message(code)));
  }
  k8s::Findings findings;
  const Value root(document, findings);
  const std::string kind_text = root["kind"].text();
  if (findings.problem) return *findings.problem;
  const auto kind = parse_kind(kind_text);
  if (!kind) {
    return Error(
        Code::kInvalid,
        fmt::format("kind: must be Node, Namespace, Pod, Service, EndpointSlice or PodEndpoint, "
                    "is '{}'",
                    shown(kind_text)));
  }
  return read_checked(*kind, root, findings, notes);
}

Result<Object> k8s::read_object(Kind kind, simdjson::dom::element object,
                                std::vector<std::string>* notes) {
  Findings findings;
  return read_checked(kind, Value(object, findings), findings, notes);
}

}  // namespace weir
