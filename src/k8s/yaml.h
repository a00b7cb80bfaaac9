#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::k8s {

// A YAML value with its line, typed as Kubernetes types it: only plain scalars are numbers,
// booleans or null. Aliases and merge keys are resolved.
struct Yaml {
  enum class Type : std::uint8_t { kNull, kBool, kNumber, kText, kList, kMap };
  Type type = Type::kNull;
  int line = 0;
  std::string text;               // of a scalar, as written
  std::vector<Yaml> items;        // of a list; values of a map
  std::vector<std::string> keys;  // of a map: names of `items`, each once

  const Yaml* find(std::string_view key) const;
};

struct YamlError {
  int line = 0;
  std::string text;
};

struct YamlFile {
  std::vector<Yaml> documents;  // those before the error, if there is one; empty ones are left out
  std::optional<YamlError> error;
};

// What a file may hold at most, aliases counted as what they stand for.
inline constexpr std::size_t kMaxYamlValues = 100000;
inline constexpr std::size_t kMaxYamlDepth = 64;

YamlFile parse_yaml(std::string_view text);

}  // namespace weir::k8s
