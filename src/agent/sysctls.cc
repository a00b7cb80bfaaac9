#include "agent/sysctls.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>

#include "sys/files.h"
#include "sys/netns.h"

namespace weir {
namespace {

constexpr std::string_view kForwarding4 = "net/ipv4/ip_forward";
constexpr std::string_view kForwarding6 = "net/ipv6/conf/all/forwarding";
constexpr std::string_view kAcceptLocal = "/accept_local";

std::string own_file(const std::string& state_dir) { return state_dir + "/sysctls"; }
std::string wanted_file(const std::string& state_dir) { return state_dir + "/sysctls-wanted"; }

std::vector<Sysctl> read_before(const std::string& path) {
  return parse_kept_sysctls(read_file(path).value_or(""));
}

Result<void> write_before(const std::string& path, const std::vector<Sysctl>& before) {
  std::string text;
  for (const auto& [key, value] : before) text += fmt::format("{}={}\n", key, value);
  return write_file_atomic(path, text);
}

bool has(const std::vector<Sysctl>& list, const std::string& key) {
  return std::ranges::any_of(list, [&key](const Sysctl& one) { return one.key == key; });
}

// Those that are set back already are no change; nor are those of a link that is gone.
std::optional<Result<void>> give_back(const Sysctl& before) {
  const auto now = read_sysctl(before.key);
  if (!now || *now == before.value) return std::nullopt;
  return write_sysctl(before.key, before.value);
}

std::string path_of(std::string name) {
  if (name.find_first_of("./") != std::string::npos && name[name.find_first_of("./")] == '.') {
    std::ranges::replace(name, '.', '/');
  }
  return name;
}

// As a path below /proc/sys; links can have odd names.
bool is_of_network(const std::string& key) {
  return key.starts_with("net/") && key.find("//") == std::string::npos && !key.ends_with('/') &&
         key.find("/../") == std::string::npos && !key.ends_with("/..");
}

bool is_plain(const std::string& key) {
  return std::ranges::all_of(key, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
  });
}

bool is_own(const std::string& key) {
  return key == kForwarding4 || key == kForwarding6 ||
         (key.starts_with("net/ipv4/conf/") && key.ends_with(kAcceptLocal));
}

}  // namespace

Result<Sysctl> parse_sysctl(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals + 1 == text.size()) {
    return Error(Code::kInvalid, fmt::format("'{}' must be NAME=VALUE", text));
  }
  Sysctl out{path_of(text.substr(0, equals)), text.substr(equals + 1)};
  if (!is_of_network(out.key) || !is_plain(out.key)) {
    return Error(Code::kInvalid, fmt::format("'{}' is no name below net.", text.substr(0, equals)));
  }
  if (is_own(out.key)) {
    return Error(Code::kInvalid,
                 fmt::format("Weir sets {} as it needs it", text.substr(0, equals)));
  }
  return out;
}

std::vector<Sysctl> parse_kept_sysctls(const std::string& text) {
  std::vector<Sysctl> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    Sysctl one{line.substr(0, equals), line.substr(equals + 1)};
    if (is_of_network(one.key)) out.push_back(std::move(one));
  }
  return out;
}

Result<void> set_wanted_sysctls(const std::string& state_dir, const std::vector<Sysctl>& wanted) {
  const std::string path = wanted_file(state_dir);
  const std::vector<Sysctl> earlier = read_before(path);
  std::vector<Sysctl> before;
  for (const Sysctl& one : earlier) {
    if (has(wanted, one.key)) {
      before.push_back(one);
    } else if (const auto written = give_back(one); written && !*written) {
      return written->error().within(one.key);
    }
  }
  for (const Sysctl& one : wanted) {
    const auto now = read_sysctl(one.key);
    if (!now) {
      return Error(Code::kInvalid,
                   fmt::format("--sysctl {}: this kernel has none of that name", one.key));
    }
    if (!has(before, one.key)) before.push_back({one.key, *now});
  }
  if (before != earlier) WEIR_TRY(write_before(path, before));
  for (const Sysctl& one : wanted) {
    if (const auto written = write_sysctl(one.key, one.value); !written) {
      return written.error().within(fmt::format("--sysctl {}={}", one.key, one.value));
    }
  }
  return {};
}

Result<void> remember_own_sysctls(const std::string& state_dir,
                                  const std::vector<std::string>& links) {
  std::vector<std::string> keys = {std::string(kForwarding4), std::string(kForwarding6)};
  for (const std::string& link : links) {
    keys.push_back(fmt::format("net/ipv4/conf/{}{}", link, kAcceptLocal));
  }
  std::vector<Sysctl> before = read_before(own_file(state_dir));
  const std::size_t known = before.size();
  for (const std::string& key : keys) {
    if (has(before, key)) continue;
    if (const auto value = read_sysctl(key)) before.push_back({key, *value});
  }
  return before.size() == known ? Result<void>() : write_before(own_file(state_dir), before);
}

void give_back_sysctls(const std::string& state_dir, const OnGivenBack& done) {
  for (const std::string& path : {wanted_file(state_dir), own_file(state_dir)}) {
    for (const Sysctl& before : read_before(path)) {
      if (const auto written = give_back(before)) done(before, *written);
    }
  }
}

}  // namespace weir
