#include "options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

namespace weir::pod_server {
namespace {

using Setter = std::function<Result<void>(const std::string&)>;

template <typename Number>
Result<Number> number(const std::string& text, Number least, Number most) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most) {
    return Error(Code::kInvalid, fmt::format("'{}': a number from {} to {}", text, least, most));
  }
  return value;
}

Setter add_port(std::vector<std::uint16_t>& ports) {
  return [&ports](const std::string& text) -> Result<void> {
    WEIR_ASSIGN(const auto port, number<std::uint16_t>(text, 1, 65535));
    ports.push_back(port);
    return {};
  };
}

Setter set(std::uint64_t& value, std::uint64_t most) {
  return [&value, most](const std::string& text) -> Result<void> {
    WEIR_ASSIGN(value, number<std::uint64_t>(text, 0, most));
    return {};
  };
}

Result<void> add_upstream(Options& options, const std::string& text) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return Error(Code::kInvalid, fmt::format("'{}': NAME=URL", text));
  }
  WEIR_ASSIGN(auto url, parse_url(text.substr(equals + 1)));
  options.upstreams.push_back({text.substr(0, equals), std::move(url)});
  return {};
}

std::map<std::string, Setter> setters(Options& o) {
  return {
      {"--http", add_port(o.http)},
      {"--tcp-echo", add_port(o.tcp_echo)},
      {"--udp-echo", add_port(o.udp_echo)},
      {"--upstream", [&o](const std::string& text) { return add_upstream(o, text); }},
      {"--only",
       [&o](const std::string& text) -> Result<void> {
         o.only.push_back(text);
         return {};
       }},
      {"--work", set(o.work_ms, 60'000)},
      {"--body", set(o.body_bytes, 64 << 20)},
      {"--fail", set(o.fail_percent, 100)},
      {"--load",
       [&o](const std::string& text) -> Result<void> {
         WEIR_ASSIGN(auto url, parse_url(text));
         o.loads.push_back(std::move(url));
         return {};
       }},
      {"--rps",
       [&o](const std::string& text) -> Result<void> {
         WEIR_ASSIGN(o.rps, number<double>(text, 0.01, 10'000));
         return {};
       }},
      {"--requests", set(o.requests, UINT64_MAX)},
  };
}

Result<Url::Scheme> parse_scheme(const std::string& text) {
  if (text == "http") return Url::Scheme::kHttp;
  if (text == "tcp") return Url::Scheme::kTcp;
  if (text == "udp") return Url::Scheme::kUdp;
  return Error(Code::kInvalid, fmt::format("'{}': http, tcp or udp", text));
}

}  // namespace

Result<Url> parse_url(const std::string& text) {
  const Error wrong(Code::kInvalid, fmt::format("'{}' is not SCHEME://HOST[:PORT][/PATH]", text));
  const auto mark = text.find("://");
  if (mark == std::string::npos) return wrong;
  Url url;
  url.text = text;
  WEIR_ASSIGN(url.scheme, parse_scheme(text.substr(0, mark)));
  auto rest = text.substr(mark + 3);
  if (const auto slash = rest.find('/'); slash != std::string::npos) {
    url.path = rest.substr(slash);
    rest.resize(slash);
  }
  const bool bracketed = rest.starts_with('[');
  const auto close = bracketed ? rest.find(']') : rest.rfind(':');
  if (bracketed && close == std::string::npos) return wrong;
  url.host = bracketed ? rest.substr(1, close - 1) : rest.substr(0, close);
  const auto colon = bracketed ? rest.find(':', close) : close;
  if (colon != std::string::npos) url.port = rest.substr(colon + 1);
  if (url.port.empty() && url.scheme == Url::Scheme::kHttp) url.port = "80";
  if (url.host.empty() || url.port.empty()) return wrong;
  WEIR_TRY(number<std::uint16_t>(url.port, 1, 65535));
  return url;
}

Result<Options> parse_options(const std::vector<std::string>& words) {
  Options options;
  const auto known = setters(options);
  const std::map<std::string, bool*> flags = {{"--keep-alive", &options.keep_alive},
                                              {"--quiet", &options.quiet},
                                              {"--help", &options.help}};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto name = words[i].substr(0, words[i].find('='));
    const bool joined = name.size() < words[i].size();
    if (const auto flag = flags.find(words[i]); flag != flags.end()) {
      *flag->second = true;
      continue;
    }
    const auto setter = known.find(name);
    if (setter == known.end()) return Error(Code::kInvalid, fmt::format("unknown option {}", name));
    if (!joined && ++i == words.size()) {
      return Error(Code::kInvalid, fmt::format("{} needs a value", name));
    }
    const auto set_to = setter->second(joined ? words[i].substr(name.size() + 1) : words[i]);
    if (!set_to) return set_to.error().within(name);
  }
  return options;
}

bool calls_upstreams(const Options& options, const std::string& path) {
  if (options.only.empty()) return true;
  const auto plain = path.substr(0, path.find('?'));
  return std::any_of(options.only.begin(), options.only.end(), [&](const std::string& prefix) {
    return plain == prefix || plain.starts_with(prefix.ends_with('/') ? prefix : prefix + "/");
  });
}

}  // namespace weir::pod_server
