#include "local/pod_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace weir::local {

std::string to_json(const PodRecord& record) {
  nlohmann::json json = {
      {"namespace", record.key.namespace_},
      {"name", record.key.name},
      {"workload", record.workload},
      {"uid", record.uid},
      {"node", record.node},
      {"containerID", record.container_id},
      {"hostNetwork", record.host_network},
      {"attached", record.attached},
      {"init", {{"pid", record.init.pid}, {"start", record.init.start}}},
      {"cgroup", record.cgroup},
      {"containers", nlohmann::json::array()},
  };
  for (const auto& c : record.containers) {
    json["containers"].push_back(
        {{"name", c.name}, {"argv", c.argv}, {"env", c.env}, {"log", c.log}});
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<PodRecord> parse_pod_record(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    PodRecord record;
    record.key = {json.at("namespace"), json.at("name")};
    record.workload = json.at("workload");
    record.uid = json.at("uid");
    record.node = json.at("node");
    record.container_id = json.at("containerID");
    record.host_network = json.at("hostNetwork");
    record.attached = json.at("attached");
    record.init = {json.at("init").at("pid"), json.at("init").at("start")};
    record.cgroup = json.at("cgroup");
    for (const auto& c : json.at("containers")) {
      record.containers.push_back({c.at("name"), c.at("argv"), c.at("env"), c.at("log")});
    }
    return record;
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, fmt::format("record of a pod: {}", e.what()));
  }
}

}  // namespace weir::local
