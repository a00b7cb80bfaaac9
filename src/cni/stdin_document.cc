#include "cni/stdin_document.h"

#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "sandbox/cni_rules.h"

namespace weir::cni {
namespace {

using Json = nlohmann::json;

Configuration faulty(Configuration config, int code, std::string fault) {
  config.fault_code = code;
  config.fault = std::move(fault);
  return config;
}

// An absolute path, or the default stays. False: something else is there.
bool take_path(const Json& json, const char* key, std::string& into) {
  const auto found = json.find(key);
  if (found == json.end()) return true;
  if (!found->is_string()) return false;
  into = found->get<std::string>();
  return into.starts_with('/') && into.find('\0') == std::string::npos;
}

}  // namespace

Configuration parse_configuration(std::string text) {
  Configuration config;
  config.version = kNewestVersion;
  if (text.empty()) {
    return faulty(std::move(config), kDecodingFailure, "no network configuration on stdin");
  }
  if (text.size() > kMaxConfigBytes) {
    return faulty(std::move(config), kDecodingFailure, "network configuration is over 960 KiB");
  }
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return faulty(std::move(config), kDecodingFailure,
                  "network configuration is not a JSON object");
  }
  const auto version = json.find("cniVersion");
  const std::string asked =
      version != json.end() && version->is_string() ? version->get<std::string>() : "";
  config.version = answer_version(asked);
  if (!is_supported(asked)) {
    return faulty(std::move(config), kIncompatibleVersion,
                  "CNI version '" + asked + "' is not supported: 0.4.0, 1.0.0 and 1.1.0 are");
  }
  for (const auto& [key, into] :
       {std::pair("runDir", &config.run_dir), {"stateDir", &config.state_dir}}) {
    if (!take_path(json, key, *into)) {
      return faulty(std::move(config), kInvalidConfig,
                    std::string("'") + key + "' is not an absolute path");
    }
  }
  config.text = std::move(text);
  return config;
}

std::string read_stdin() {
  std::string text;
  char chunk[16 * 1024];
  while (text.size() <= kMaxConfigBytes) {
    const ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(chunk, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace weir::cni
