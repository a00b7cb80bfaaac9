#include "local/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace weir::local {

using Json = nlohmann::ordered_json;

bool ClusterStatus::agents_ready() const {
  return !agents.empty() &&
         std::all_of(agents.begin(), agents.end(), [](const AgentStatus& a) { return a.ready; });
}

bool ClusterStatus::settled() const {
  return problem.empty() && pods.size() == wanted &&
         std::all_of(pods.begin(), pods.end(), [](const PodStatus& p) {
           return !p.terminating && p.current && (p.ready || p.phase == "Succeeded");
         });
}

std::string to_json(const ClusterStatus& status) {
  Json json = {{"revision", status.revision},
               {"wanted", status.wanted},
               {"problem", status.problem},
               {"nodes", Json::array()},
               {"pods", Json::array()}};
  for (const auto& a : status.agents) {
    json["nodes"].push_back({{"name", a.node},
                             {"agent_pid", a.pid},
                             {"ready", a.ready},
                             {"restarts", a.restarts},
                             {"problem", a.problem}});
  }
  for (const auto& p : status.pods) {
    json["pods"].push_back({{"namespace", p.namespace_},
                            {"name", p.name},
                            {"node", p.node},
                            {"phase", p.phase},
                            {"ready", p.ready},
                            {"terminating", p.terminating},
                            {"current", p.current},
                            {"restarts", p.restarts},
                            {"addresses", p.addresses},
                            {"problem", p.problem}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<ClusterStatus> parse_status(std::string_view text) {
  try {
    const auto json = Json::parse(text);
    ClusterStatus status{json.at("revision"), json.at("wanted"), json.at("problem"), {}, {}};
    for (const auto& a : json.at("nodes")) {
      status.agents.push_back(
          {a.at("name"), a.at("agent_pid"), a.at("ready"), a.at("restarts"), a.at("problem")});
    }
    for (const auto& p : json.at("pods")) {
      status.pods.push_back({p.at("namespace"), p.at("name"), p.at("node"), p.at("phase"),
                             p.at("ready"), p.at("terminating"), p.at("current"), p.at("restarts"),
                             p.at("addresses"), p.at("problem")});
    }
    return status;
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, fmt::format("status.json: {}", e.what()));
  }
}

}  // namespace weir::local
