// `weir test`: asks through each path of a live cluster, and names what does not answer.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "api/flow_line.h"
#include "api/status.h"
#include "cli/agents.h"
#include "cli/kube_options.h"
#include "cli/table.h"
#include "cli/test_bed.h"
#include "cli/test_diagnosis.h"
#include "cli/test_plan.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

using Json = nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kFaultsShown = 20;

struct Options {
  KubeOptions kube;
  std::string domain = "cluster.local";
  std::string wait = "90s";
  bool keep = false;
  Output output = Output::kText;
};

// --- what the agents say of themselves

struct Agents {
  std::vector<std::string> faults;
  std::vector<std::string> notes;
  std::vector<Agent> asked;
  std::uint32_t pod_mtu = 1400;
  std::string tunnel;
};

void look_at_nodes(const Kubectl& kubectl, const std::vector<AgentPod>& pods, Agents& out) {
  const auto nodes = kubectl.get({"nodes"});
  for (const Json& node : nodes ? nodes->value("items", Json::array()) : Json::array()) {
    const std::string name = node.at("metadata").at("name");
    const auto pod = std::ranges::find(pods, name, &AgentPod::node);
    if (pod == pods.end()) {
      out.faults.push_back(fmt::format("node {} has no agent", name));
    } else if (!pod->runs()) {
      out.faults.push_back(fmt::format("node {}: its agent {} is {}", name, pod->pod, pod->state));
    }
    for (const Json& condition : node.at("status").value("conditions", Json::array())) {
      if (condition.value("type", "") == "Ready" && condition.value("status", "") != "True") {
        out.faults.push_back(
            fmt::format("node {} is not ready: {}", name, condition.value("message", "")));
      }
    }
  }
}

Agents look_at_agents(const Options& options) {
  Agents out;
  const auto pods = agent_pods(options.kube.kubectl);
  if (!pods) {
    out.faults.push_back(pods.error().text());
    return out;
  }
  look_at_nodes(options.kube.kubectl, *pods, out);
  AgentOptions whom;
  whom.cluster = true;
  whom.kube = options.kube;
  auto agents = find_agents(whom);
  if (!agents) return out;
  out.asked = std::move(*agents);
  std::set<std::string> versions;
  for (const Agent& agent : out.asked) {
    const auto body = api::get(agent.socket, "/v1/status", std::chrono::seconds(10));
    const auto status = body ? api::parse_status(*body) : Result<api::Status>(body.error());
    if (!status) {
      out.faults.push_back(fmt::format("the agent of node {} does not answer: {}", agent.node,
                                       status.error().text()));
      continue;
    }
    if (!status->waiting_for.empty()) {
      out.faults.push_back(
          fmt::format("the agent of node {} serves no pods: {}", agent.node, status->waiting_for));
    } else {
      out.pod_mtu = status->pod_mtu;
      out.tunnel = status->tunnel;
    }
    for (const auto& text : status->warnings) {
      out.notes.push_back(fmt::format("node {}: {}", agent.node, text));
    }
    versions.insert(status->version);
  }
  if (versions.size() > 1) {
    out.notes.push_back(fmt::format("agents of several versions: {}", fmt::join(versions, ", ")));
  }
  return out;
}

// --- asking

// kUnavailable: nothing could be asked from there.
Result<std::vector<Outcome>> ask_from(const Kubectl& kubectl, const std::string& pod,
                                      std::vector<Question> questions) {
  std::string lines;
  for (const Question& question : questions) lines += to_string(question.probe) + "\n";
  const auto output = kubectl.ask(
      {"exec", "--namespace", kTestNamespace, "--stdin", pod, "--", "/usr/bin/weir", "ask"}, lines);
  if (!output) {
    return Error(Code::kUnavailable,
                 fmt::format("nothing could be asked from pod {}: {}", pod, output.error().text()));
  }
  std::istringstream answers(*output);
  std::vector<Outcome> out;
  for (Question& question : questions) {
    std::string line;
    std::string fault = "was not asked";
    if (std::getline(answers, line)) fault = line.starts_with("fault ") ? line.substr(6) : "";
    const std::string who = line.starts_with("ok ") ? line.substr(3) : "";
    if (fault.empty() && !question.want.empty() && who != question.want) {
      fault = fmt::format("'{}' answered", who);
    }
    out.push_back({std::move(question), std::move(fault), ""});
  }
  return out;
}

std::vector<Outcome> ask_all(const Kubectl& kubectl, const TestBed& bed,
                             std::vector<std::string>& faults) {
  std::map<std::string, std::vector<Question>> by_pod;
  for (Question& question : plan(bed)) by_pod[question.from].push_back(std::move(question));
  std::vector<std::future<Result<std::vector<Outcome>>>> asked;
  for (auto& [pod, questions] : by_pod) {
    asked.push_back(std::async(std::launch::async, ask_from, kubectl, pod, std::move(questions)));
  }
  std::vector<Outcome> out;
  for (auto& one : asked) {
    auto outcomes = one.get();
    if (!outcomes) faults.push_back(outcomes.error().text());
    if (outcomes) std::ranges::move(*outcomes, std::back_inserter(out));
  }
  return out;
}

// --- what dropped it

// Drops that the agents remember, by the addresses and the port asked.
std::vector<Flow> drops_of(const std::vector<Agent>& agents) {
  std::vector<Flow> out;
  for (const Agent& agent : agents) {
    const auto body = api::get(agent.socket, "/v1/flows?last=2000&verdict=dropped&quiet=0",
                               std::chrono::seconds(10));
    std::istringstream lines(body.value_or(""));
    for (std::string line; std::getline(lines, line);) {
      auto read = api::parse_flow_line(line);
      if (!read) continue;
      if (auto* flow = std::get_if<api::FlowLine>(&*read)) out.push_back(std::move(flow->flow));
    }
  }
  return out;
}

// --- telling

Rows table_of(const std::vector<Outcome>& outcomes) {
  std::vector<std::pair<std::string, std::string>> order;
  std::map<std::pair<std::string, std::string>, std::pair<int, int>> counts;
  for (const Outcome& one : outcomes) {
    const auto key = std::pair(one.question.check, one.question.family);
    if (!counts.contains(key)) order.push_back(key);
    (one.fault.empty() ? counts[key].first : counts[key].second)++;
  }
  std::ranges::sort(order);
  Rows rows = {{"CHECK", "FAMILY", "ANSWERED", "FAILED", ""}};
  for (const auto& key : order) {
    const auto [good, bad] = counts.at(key);
    rows.push_back({key.first, key.second, std::to_string(good), std::to_string(bad),
                    bad == 0 ? "ok" : "FAULT"});
  }
  return rows;
}

Json json_of(const std::vector<Outcome>& outcomes, const std::vector<std::string>& faults,
             const std::vector<std::string>& notes) {
  Json list = Json::array();
  for (const Outcome& one : outcomes) {
    list.push_back({{"check", one.question.check},
                    {"family", one.question.family},
                    {"from", one.question.from},
                    {"to", one.question.to},
                    {"question", to_string(one.question.probe)},
                    {"fault", one.fault},
                    {"dropped", one.dropped}});
  }
  return {{"questions", list}, {"faults", faults}, {"notes", notes}};
}

// Weir's own: what the kernel drops has its cause elsewhere, which the diagnosis looks for.
void add_drops(std::vector<Outcome>& outcomes, const std::vector<Flow>& drops) {
  for (Outcome& one : outcomes) {
    if (one.fault.empty()) continue;
    const auto address = Address::parse(one.question.probe.target);
    const auto drop = std::ranges::find_if(drops, [&](const Flow& flow) {
      return address && flow.reason != WEIR_DROP_KERNEL &&
             flow.destination.port == one.question.probe.port &&
             flow.destination.address == *address;
    });
    if (drop != drops.end()) one.dropped = drop_text(drop->reason);
  }
}

int tell(const Options& options, const std::vector<Outcome>& outcomes,
         const std::vector<std::string>& faults, const std::vector<std::string>& notes) {
  if (options.output == Output::kJson) {
    fmt::print("{}\n", json_of(outcomes, faults, notes).dump(2));
    return faults.empty() ? kOk : kError;
  }
  fmt::print("{}", table(table_of(outcomes)));
  for (const std::string& text : notes) fmt::print("note: {}\n", text);
  for (std::size_t i = 0; i < std::min(faults.size(), kFaultsShown); ++i) {
    fmt::print("FAULT: {}\n", faults[i]);
  }
  if (faults.size() > kFaultsShown) {
    fmt::print("and {} more: -o json has them all\n", faults.size() - kFaultsShown);
  }
  fmt::print("network policy is not tested: this version has none\n");
  fmt::print("{} questions, {} faults\n", outcomes.size(), faults.size());
  return faults.empty() ? kOk : kError;
}

int run(const Options& options) try {
  Agents agents = look_at_agents(options);
  std::vector<std::string> faults = agents.faults;
  if (const auto made = make_test_bed(options.kube.kubectl, options.wait); !made)
    return fail(made.error());
  auto bed = read_test_bed(options.kube.kubectl, options.domain, faults);
  if (!bed) {
    if (!options.keep) unmake_test_bed(options.kube.kubectl);
    return fail(bed.error());
  }
  bed->pod_mtu = agents.pod_mtu;
  bed->tunnel = agents.tunnel;
  auto outcomes = ask_all(options.kube.kubectl, *bed, faults);
  const bool any_fault =
      std::ranges::any_of(outcomes, [](const Outcome& one) { return !one.fault.empty(); });
  if (any_fault) add_drops(outcomes, drops_of(agents.asked));
  for (std::string& text : diagnose(*bed, outcomes)) faults.push_back(std::move(text));
  if (!options.keep) unmake_test_bed(options.kube.kubectl);
  return tell(options, outcomes, faults, agents.notes);
} catch (const Json::exception& error) {
  return fail(Error(Code::kInvalid,
                    fmt::format("what the API server says is not understood: {}", error.what())));
}

}  // namespace

void add_test(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb(
      "test", "Try a cluster's network: each path, both families, Services, DNS, full packets");
  verb.flag("--keep", options->keep, "Leave namespace weir-test as it is, to look at it")
      .option("--cluster-domain", options->domain, "Of the cluster's DNS")
      .placeholder("DOMAIN")
      .option("--wait", options->wait, "How long its pods may take to start")
      .placeholder("TIME");
  options->kube.add_to(verb);
  verb.output(options->output)
      .examples(
          "kubectl weir test\n"
          "kubectl weir test -o json | jq .faults")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
