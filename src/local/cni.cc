#include "local/cni.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace weir::local {
namespace {

constexpr std::chrono::seconds kLimit(60);
constexpr int kNoCode = 999;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

CniAnswer failure(const nlohmann::json& json, const JobResult& result) {
  CniAnswer answer{kNoCode, {}, {}};
  if (!json.is_object()) {
    answer.message = result.code == 124
                         ? fmt::format("no answer within {} s", kLimit.count())
                         : fmt::format("exit code {} {}", result.code, first_line(result.errors));
    return answer;
  }
  if (json.contains("code") && json["code"].is_number_integer() && json["code"] != 0) {
    answer.code = json["code"].get<int>();
  }
  for (const char* field : {"msg", "details"}) {
    if (!json.contains(field) || !json[field].is_string() || json[field] == "") continue;
    answer.message += (answer.message.empty() ? "" : ": ") + json[field].get<std::string>();
  }
  return answer;
}

// A container runtime knows no burst, and says so by the largest.
std::uint64_t burst_for(std::uint64_t rate) {
  return rate == 0 ? 0 : std::numeric_limits<std::uint32_t>::max();
}

nlohmann::json runtime_config(const CniCall& call) {
  const auto& [ingress, egress] = call.bandwidth;
  if (ingress == 0 && egress == 0) return nlohmann::json::object();
  return {{"bandwidth",
           {{"ingressRate", ingress},
            {"ingressBurst", burst_for(ingress)},
            {"egressRate", egress},
            {"egressBurst", burst_for(egress)}}}};
}

}  // namespace

std::string cni_config(const CniCall& call) {
  return nlohmann::json{{"cniVersion", "1.0.0"},      {"name", "weir"},
                        {"type", "weir-cni"},         {"runDir", call.run_dir},
                        {"stateDir", call.state_dir}, {"runtimeConfig", runtime_config(call)}}
      .dump();
}

std::vector<std::string> cni_environment(const CniCall& call) {
  return {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "CNI_COMMAND=" + call.command,
      "CNI_CONTAINERID=" + call.container_id,
      "CNI_NETNS=" + call.netns,
      "CNI_IFNAME=eth0",
      fmt::format("CNI_PATH={}", call.plugin.substr(0, call.plugin.rfind('/'))),
      fmt::format("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};"
                  "K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
                  call.pod.namespace_, call.pod.name, call.container_id, call.pod_uid),
  };
}

CniAnswer parse_cni_answer(const std::string& command, const JobResult& result) {
  const auto json = nlohmann::json::parse(result.output, nullptr, false);
  if (result.code != 0) return failure(json, result);
  CniAnswer answer;
  if (command != "ADD") return answer;
  const bool usable = json.is_object() && json.contains("ips") && json["ips"].is_array();
  for (const auto& ip : usable ? json["ips"] : nlohmann::json::array()) {
    if (!ip.is_object() || !ip.contains("address") || !ip["address"].is_string()) continue;
    const auto text = ip["address"].get<std::string>();
    if (const auto cidr = Address::parse(text.substr(0, text.find('/')))) {
      answer.addresses.push_back(*cidr);
    }
  }
  if (answer.addresses.empty()) return {kNoCode, "the plugin's answer has no addresses", {}};
  return answer;
}

Result<std::unique_ptr<Job>> call_cni(Loop& loop, const CniCall& call, int node_netns,
                                      std::function<void(CniAnswer)> done) {
  Launch launch;
  launch.argv = {call.plugin};
  launch.env = cni_environment(call);
  launch.netns = node_netns;
  return Job::start(loop, std::move(launch), cni_config(call), kLimit,
                    [command = call.command, done = std::move(done)](const JobResult& result) {
                      done(parse_cni_answer(command, result));
                    });
}

}  // namespace weir::local
