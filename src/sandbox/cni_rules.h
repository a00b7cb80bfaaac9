#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string_view>

// Rules of the CNI specification, for the agent and for weir-cni alike. weir-cni is a static binary
// without Weir's libraries: only the standard library here.
namespace weir::cni {

enum ErrorCode {
  kIncompatibleVersion = 1,
  kUnsupportedField = 2,
  kUnknownContainer = 3,
  kInvalidEnvironment = 4,
  kIoFailure = 5,
  kDecodingFailure = 6,
  kInvalidConfig = 7,
  kTryAgainLater = 11,
  kUnavailable = 50,    // STATUS: cannot serve ADD
  kInternalError = 100  // 100 and up: the plugin's own
};

inline constexpr std::string_view kVersions[] = {"0.4.0", "1.0.0", "1.1.0"};
inline constexpr std::string_view kNewestVersion = "1.1.0";
inline constexpr std::size_t kMaxRequestBytes = 1 << 20;
inline constexpr std::size_t kMaxConfigBytes =
    kMaxRequestBytes - (64 << 10);  // the rest: environment

constexpr bool is_supported(std::string_view version) {
  return std::ranges::find(kVersions, version) != std::end(kVersions);
}

// The version to answer an error in: the asked one if it is known.
constexpr std::string_view answer_version(std::string_view asked) {
  return is_supported(asked) ? asked : kNewestVersion;
}

constexpr bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What is wrong with it; empty: nothing. The specification's set, and short enough for a file name.
constexpr std::string_view container_id_fault(std::string_view id) {
  if (id.empty()) return "CNI_CONTAINERID is missing";
  if (id.size() > 200) return "CNI_CONTAINERID is longer than 200 characters";
  if (!is_alphanumeric(id.front())) return "CNI_CONTAINERID does not begin with a letter or digit";
  for (const char c : id) {
    if (!is_alphanumeric(c) && c != '_' && c != '.' && c != '-') {
      return "CNI_CONTAINERID has a character other than letters, digits, '_', '.' and '-'";
    }
  }
  return {};
}

constexpr std::string_view ifname_fault(std::string_view name) {
  if (name.empty()) return "CNI_IFNAME is missing";
  if (name.size() > 15) return "CNI_IFNAME is longer than 15 characters";
  if (name == "." || name == "..") return "CNI_IFNAME is '.' or '..'";
  if (name == "lo") return "CNI_IFNAME is the loopback's name";
  for (const char c : name) {
    if (c <= ' ' || c == '/' || c == ':' || c == '%' || c == 0x7f) {
      return "CNI_IFNAME has a space, control character, '/', ':' or '%'";
    }
  }
  return {};
}

constexpr std::string_view netns_fault(std::string_view path) {
  if (path.empty()) return "CNI_NETNS is missing";
  if (path.front() != '/') return "CNI_NETNS is not an absolute path";
  if (path.size() > 4000) return "CNI_NETNS is longer than 4000 characters";
  return {};
}

}  // namespace weir::cni
