#include "cli/redact.h"

#include <nlohmann/json.hpp>

namespace weir::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRedacted = "REDACTED";

bool is_weirs(const Json& object) {
  const auto space = object.value("/metadata/namespace"_json_pointer, "");
  return space == "weir-system";
}

void redact_container(Json& container, bool weirs) {
  if (container.contains("env")) {
    for (Json& variable : container["env"]) {
      if (variable.contains("value")) variable["value"] = kRedacted;
    }
  }
  if (weirs) return;
  for (const char* field : {"args", "command"}) {
    if (container.contains(field)) container[field] = Json::array({kRedacted});
  }
  // Probes and hooks may have commands and headers of their own.
  for (const char* field : {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}) {
    if (container.contains(field)) container[field] = kRedacted;
  }
}

// Pods, and templates of pods wherever they are.
void redact_below(Json& value, bool weirs) {
  if (value.is_array()) {
    for (Json& one : value) redact_below(one, weirs);
  }
  if (!value.is_object()) return;
  for (auto& [key, child] : value.items()) {
    const bool containers =
        key == "containers" || key == "initContainers" || key == "ephemeralContainers";
    if (containers && child.is_array()) {
      for (Json& one : child) {
        if (one.is_object()) redact_container(one, weirs);
      }
    } else {
      redact_below(child, weirs);
    }
  }
}

void redact_metadata(Json& object) {
  if (!object.is_object() || !object.contains("metadata")) return;
  Json& metadata = object["metadata"];
  metadata.erase("managedFields");
  if (metadata.contains("annotations")) {
    metadata["annotations"].erase("kubectl.kubernetes.io/last-applied-configuration");
  }
}

}  // namespace

std::string redacted(std::string_view json) {
  Json list = Json::parse(json, nullptr, false);
  if (!list.is_object()) return {};
  Json one = Json::array({list});
  for (Json& object : list.contains("items") ? list["items"] : one) {
    redact_metadata(object);
    redact_below(object, is_weirs(object));
  }
  return (list.contains("items") ? list : one[0]).dump(1) + "\n";
}

}  // namespace weir::cli
