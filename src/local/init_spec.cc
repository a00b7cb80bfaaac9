#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "local/init.h"

namespace weir::local {

std::string to_json(const InitSpec& spec) {
  nlohmann::json json = {{"hostname", spec.hostname},
                         {"hosts", spec.hosts},
                         {"resolv_conf", spec.resolv_conf},
                         {"programs", spec.programs},
                         {"restart", static_cast<int>(spec.restart)},
                         {"mounts", nlohmann::json::array()},
                         {"containers", nlohmann::json::array()}};
  for (const auto& m : spec.mounts) {
    json["mounts"].push_back({{"source", m.source}, {"target", m.target}});
  }
  for (const auto& c : spec.containers) {
    json["containers"].push_back(
        {{"name", c.name}, {"argv", c.argv}, {"env", c.env}, {"log", c.log}});
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<InitSpec> parse_init_spec(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    InitSpec spec;
    spec.hostname = json.at("hostname");
    spec.hosts = json.at("hosts");
    spec.resolv_conf = json.at("resolv_conf");
    spec.programs = json.at("programs");
    for (const auto& m : json.at("mounts")) {
      spec.mounts.push_back({m.at("source"), m.at("target")});
    }
    spec.restart = static_cast<Restart>(json.at("restart").get<int>());
    for (const auto& c : json.at("containers")) {
      spec.containers.push_back({c.at("name"), c.at("argv"), c.at("env"), c.at("log")});
    }
    return spec;
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, fmt::format("pod's init: {}", e.what()));
  }
}

std::string to_text(const InitReport& report) {
  switch (report.type) {
    case InitReport::Type::kStarted:
      return fmt::format("started {}", report.container);
    case InitReport::Type::kExited:
      return fmt::format("exited {} {}", report.container, report.code);
    case InitReport::Type::kBroken:
      return fmt::format("broken {}", report.text);
  }
  return {};
}

Result<InitReport> parse_report(std::string_view text) {
  const auto word = text.substr(0, text.find(' '));
  const auto rest = text.substr(std::min(word.size() + 1, text.size()));
  InitReport report;
  report.text = rest;
  if (word == "broken") return report;
  report.type = word == "started" ? InitReport::Type::kStarted : InitReport::Type::kExited;
  const char* end = rest.data() + rest.size();
  const auto first = std::from_chars(rest.data(), end, report.container);
  bool good = first.ec == std::errc() && (word == "started" || word == "exited");
  if (good && word == "exited") {
    good = first.ptr != end && std::from_chars(first.ptr + 1, end, report.code).ec == std::errc();
  }
  if (!good) return Error(Code::kInvalid, fmt::format("report '{}'", text));
  return report;
}

std::string stop_command(std::size_t container) { return fmt::format("stop {}", container); }

Result<std::size_t> parse_stop(std::string_view text) {
  constexpr std::string_view kStop = "stop ";
  std::size_t container = 0;
  const auto number = text.substr(std::min(kStop.size(), text.size()));
  const char* end = number.data() + number.size();
  const auto [stop, error] = std::from_chars(number.data(), end, container);
  if (!text.starts_with(kStop) || error != std::errc() || stop != end) {
    return Error(Code::kInvalid, fmt::format("command '{}'", text));
  }
  return container;
}

}  // namespace weir::local
