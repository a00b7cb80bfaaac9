#include "cli/manifests.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace weir::cli {
namespace {

constexpr std::string_view kImage = "weir.dev/weir:";
constexpr std::string_view kData = "\ndata:\n";

bool is_key(const std::string& key) {
  return !key.empty() &&
         key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

}  // namespace

Result<std::string> with_setting(std::string manifest, const std::string& key,
                                 const std::string& value) {
  const bool printable =
      std::ranges::all_of(value, [](unsigned char c) { return c >= ' ' && c < 0x7f; });
  if (!is_key(key) || !printable) {
    return Error(Code::kInvalid, fmt::format("'{}={}' is no setting: NAME=VALUE", key, value));
  }
  // A JSON string is a YAML one.
  const std::string line = fmt::format("  {}: {}\n", key, nlohmann::json(value).dump());
  const auto data = manifest.find(kData);
  if (data == std::string::npos) {
    return Error(Code::kInvalid, "the manifest has no ConfigMap");
  }
  const auto end = manifest.find("\n---", data);
  const auto found = manifest.find(fmt::format("\n  {}: ", key), data);
  if (found == std::string::npos || found > end) {
    manifest.insert(data + kData.size(), line);
    return manifest;
  }
  const auto line_end = manifest.find('\n', found + 1);
  manifest.replace(found + 1, line_end - found, line);
  return manifest;
}

std::string with_settings_mark(std::string manifest, const std::string& mark) {
  constexpr std::string_view kMark = "        weir.dev/config: ";
  const auto found = manifest.find(kMark);
  if (found == std::string::npos) return manifest;
  const auto value = found + kMark.size();
  manifest.replace(value, manifest.find('\n', value) - value, nlohmann::json(mark).dump());
  return manifest;
}

std::string with_image(std::string manifest, const std::string& image) {
  for (std::size_t at = 0; (at = manifest.find(kImage, at)) != std::string::npos;) {
    manifest.replace(at, kImage.size() - 1, image);
    at += image.size();
  }
  return manifest;
}

}  // namespace weir::cli
