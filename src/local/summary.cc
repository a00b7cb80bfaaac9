#include "local/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace weir::local {
namespace {

using Row = std::vector<std::string>;

std::string table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += fmt::format("  {:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

template <typename List>
std::string join(const List& list) {
  std::string text;
  for (const auto& item : list) {
    if (!text.empty()) text += ' ';
    if constexpr (requires { item.to_string(); }) {
      text += item.to_string();
    } else {
      text += item;
    }
  }
  return text;
}

std::string name_of(const PodStatus& pod) { return pod.namespace_ + "/" + pod.name; }

bool is_well(const PodStatus& pod) { return pod.ready || pod.phase == "Succeeded"; }

std::string plural(std::size_t n, const char* noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

}  // namespace

std::string summary(const Cluster& cluster, const ClusterStatus& status) {
  std::vector<Row> nodes = {{"NODE", "ADDRESSES", "RANGES OF ITS PODS"}};
  for (const auto& node : cluster.make_nodes()) {
    nodes.push_back({node.name, join(node.addresses), join(node.pod_cidrs)});
  }
  std::vector<Row> pods = {{"POD", "NODE", "ADDRESSES", "READY"}};
  for (const auto& pod : status.pods) {
    pods.push_back({name_of(pod), pod.node, join(pod.addresses), pod.ready ? "yes" : pod.phase});
  }
  auto text = fmt::format("Cluster '{}' is up: {}, {}, {}, {}.\n\n", cluster.name,
                          plural(cluster.nodes, "node"), plural(status.pods.size(), "pod"),
                          cluster.tunnel ? "VXLAN between nodes" : "native routing between nodes",
                          cluster.families == Families::kDual ? "IPv4 and IPv6"
                          : cluster.ipv4()                    ? "IPv4 only"
                                                              : "IPv6 only");
  text += table(nodes);
  if (!status.pods.empty()) {
    text += '\n';
    text += table(pods);
  }
  std::vector<std::string> outside;
  for (const auto& address : outside_addresses(cluster)) outside.push_back(address.to_string());
  return text + fmt::format("\nThe world outside answers at {}.\n", join(outside));
}

std::string progress_line(const ClusterStatus& status) {
  const auto ready = std::count_if(status.pods.begin(), status.pods.end(), is_well);
  const auto agents = std::count_if(status.agents.begin(), status.agents.end(),
                                    [](const AgentStatus& a) { return a.ready; });
  return fmt::format("{} of {} agents up, {} of {} pods ready", agents, status.agents.size(), ready,
                     status.wanted);
}

std::string complaints(const ClusterStatus& status) {
  std::string text;
  const auto add = [&text](const std::string& who, const std::string& state,
                           const std::string& why) {
    fmt::format_to(std::back_inserter(text), "  {}: {}{}{}\n", who, state, why.empty() ? "" : ": ",
                   why);
  };
  if (!status.problem.empty()) add("manifests", "not taken", status.problem);
  for (const auto& agent : status.agents) {
    if (!agent.ready) add("node " + agent.node, "agent does not answer", agent.problem);
  }
  for (const auto& pod : status.pods) {
    const std::string who = "pod " + name_of(pod);
    if (!is_well(pod))
      add(who, pod.phase + ", not ready", pod.problem);
    else if (pod.terminating)
      add(who, "still terminating", pod.problem);
    else if (!pod.current)
      add(who, "not yet as the manifests say", pod.problem);
  }
  return text;
}

}  // namespace weir::local
