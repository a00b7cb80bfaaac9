#include "cli/kubectl.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace weir::cli {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string state_of(const nlohmann::json& pod) {
  if (pod["metadata"].contains("deletionTimestamp")) return "Terminating";
  for (const auto& status : pod["status"].value("containerStatuses", nlohmann::json::array())) {
    const auto waiting = status.value("/state/waiting/reason"_json_pointer, "");
    if (!waiting.empty()) return waiting;
  }
  return pod["status"].value("phase", "Unknown");
}

template <typename T>
Result<T> explain(Result<T> result) {
  if (result || result.error().code() != Code::kNotFound) return result;
  return Error(Code::kNotFound, "there is no kubectl on PATH: weir reaches clusters by it");
}

}  // namespace

std::vector<std::string> Kubectl::command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> out = {"kubectl"};
  if (!kubeconfig.empty()) out.push_back("--kubeconfig=" + kubeconfig);
  if (!context.empty()) out.push_back("--context=" + context);
  out.insert(out.end(), arguments.begin(), arguments.end());
  return out;
}

Result<pid_t> Kubectl::start(const std::vector<std::string>& arguments, int in, int out,
                             int err) const {
  return explain(spawn(command(arguments), in, out, err));
}

Result<ProgramOutput> Kubectl::run(const std::vector<std::string>& arguments,
                                   std::string_view in) const {
  return explain(run_program(command(arguments), in));
}

Result<std::string> Kubectl::ask(const std::vector<std::string>& arguments,
                                 std::string_view in) const {
  WEIR_ASSIGN(ProgramOutput output, run(arguments, in));
  if (output.status == 0) return std::move(output.out);
  const bool refused = output.err.starts_with("Error from server");
  return Error(refused ? Code::kDenied : Code::kUnavailable,
               fmt::format("kubectl {}: {}", arguments.empty() ? "" : arguments.front(),
                           first_line(output.err)));
}

Result<nlohmann::json> Kubectl::get(std::vector<std::string> what) const {
  what.insert(what.begin(), "get");
  what.insert(what.end(), {"--ignore-not-found", "-o", "json"});
  WEIR_ASSIGN(const std::string text, ask(what));
  if (text.empty()) return nlohmann::json::object();
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(Code::kInvalid, "kubectl get: no JSON");
  return json;
}

Result<std::vector<AgentPod>> agent_pods(const Kubectl& kubectl) {
  WEIR_ASSIGN(const auto list,
              kubectl.get({"pods", "--namespace", kNamespace, "--selector", kAgentLabel}));
  std::vector<AgentPod> out;
  for (const auto& pod : list.value("items", nlohmann::json::array())) {
    out.push_back(
        {pod["spec"].value("nodeName", ""), pod["metadata"].value("name", ""), state_of(pod)});
  }
  if (out.empty()) {
    return Error(Code::kNotFound,
                 fmt::format("the cluster has no pod {} in namespace {}: 'kubectl weir install' "
                             "makes them",
                             kAgentLabel, kNamespace));
  }
  // Of one that goes and one that comes, the one that runs.
  std::ranges::sort(out, {}, [](const AgentPod& one) { return std::pair(one.node, !one.runs()); });
  const auto same = [](const AgentPod& a, const AgentPod& b) { return a.node == b.node; };
  const auto rest = std::ranges::unique(out, same);
  out.erase(rest.begin(), rest.end());
  return out;
}

}  // namespace weir::cli
