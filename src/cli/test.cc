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
#include "cli/test_diagnosis.h"
#include "cli/test_plan.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

using Json = nlohmann::json;
using Rows = std::vector<std::vector<std::string>>;

constexpr const char* kTestNamespace = "weir-test";
constexpr std::uint16_t kPodPort = 8080;
constexpr std::uint16_t kHostPort = 28080;
constexpr std::uint16_t kServicePort = 80;
constexpr std::size_t kFaultsShown = 20;

// IMAGE: the agents' own. Every node has a pod of its own network, and one in the host's.
constexpr std::string_view kManifest = R"yaml(
apiVersion: v1
kind: Namespace
metadata:
  name: weir-test
  labels: {pod-security.kubernetes.io/enforce: privileged}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: pod, namespace: weir-test}
spec:
  selector: {matchLabels: {app: pod}}
  template:
    metadata: {labels: {app: pod}}
    spec:
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      containers:
        - name: weir
          image: IMAGE
          command: [/usr/bin/weir, answer, --port, "POD_PORT", --name, $(NAME)]
          env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: host, namespace: weir-test}
spec:
  selector: {matchLabels: {app: host}}
  template:
    metadata: {labels: {app: host}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      containers:
        - name: weir
          image: IMAGE
          command: [/usr/bin/weir, answer, --port, "HOST_PORT", --name, $(NAME)]
          env: [{name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
---
apiVersion: v1
kind: Service
metadata: {name: weir-test, namespace: weir-test}
spec:
  type: NodePort
  selector: {app: pod}
  ipFamilyPolicy: PreferDualStack
  ports:
    - {name: tcp, port: SERVICE_PORT, protocol: TCP, targetPort: POD_PORT}
    - {name: udp, port: SERVICE_PORT, protocol: UDP, targetPort: POD_PORT}
)yaml";

struct Options {
  KubeOptions kube;
  std::string domain = "cluster.local";
  std::string wait = "90s";
  bool keep = false;
  Output output = Output::kText;
};

std::string replaced(std::string text, std::string_view what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

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

// --- what is made to be asked

Result<std::string> image_of_agents(const Kubectl& kubectl) {
  return kubectl.ask({"get", "daemonset", "weir-agent", "--namespace", kNamespace, "-o",
                      "jsonpath={.spec.template.spec.containers[0].image}"});
}

// What an earlier run made goes before anything is made: otherwise it would take that with it.
Result<void> await_end_of_earlier(const Options& options) {
  const Kubectl& kubectl = options.kube.kubectl;
  WEIR_ASSIGN(const std::string leaving,
              kubectl.ask({"get", "namespace", kTestNamespace, "--ignore-not-found", "-o",
                           "jsonpath={.metadata.deletionTimestamp}"}));
  if (leaving.empty()) return {};
  const auto gone =
      kubectl.ask({"wait", "--for=delete", fmt::format("namespace/{}", kTestNamespace), "--timeout",
                   options.wait});
  if (gone) return {};
  return Error(Code::kUnavailable, fmt::format("namespace {} of an earlier run does not go: {}",
                                               kTestNamespace, gone.error().text()));
}

Result<void> make_bed(const Options& options) {
  const Kubectl& kubectl = options.kube.kubectl;
  WEIR_TRY(await_end_of_earlier(options));
  WEIR_ASSIGN(const std::string image, image_of_agents(kubectl));
  std::string manifest = replaced(std::string(kManifest), "IMAGE", image);
  manifest = replaced(std::move(manifest), "HOST_PORT", std::to_string(kHostPort));
  manifest = replaced(std::move(manifest), "POD_PORT", std::to_string(kPodPort));
  manifest = replaced(std::move(manifest), "SERVICE_PORT", std::to_string(kServicePort));
  const auto applied = kubectl.ask({"apply", "--filename", "-"}, manifest);
  if (!applied) return applied.error();
  for (const char* set : {"daemonset/pod", "daemonset/host"}) {
    // Pods that do not come are found by read_pods.
    (void)kubectl.run(
        {"rollout", "status", "--namespace", kTestNamespace, set, "--timeout", options.wait});
  }
  return {};
}

std::string why_not_ready(const Kubectl& kubectl, const Json& pod) {
  const std::string name = pod.at("metadata").at("name");
  const auto events = kubectl.get({"events", "--namespace", kTestNamespace, "--field-selector",
                                   "involvedObject.name=" + name + ",type=Warning"});
  const Json warnings = events ? events->value("items", Json::array()) : Json::array();
  if (!warnings.empty()) return warnings.back().value("message", "");
  for (const Json& status : pod.at("status").value("containerStatuses", Json::array())) {
    const auto reason = status.value("/state/waiting/reason"_json_pointer, "");
    if (!reason.empty()) return reason;
  }
  return pod.at("status").value("phase", "");
}

bool is_ready(const Json& pod) {
  for (const Json& one : pod.at("status").value("conditions", Json::array())) {
    if (one.value("type", "") == "Ready") return one.value("status", "") == "True";
  }
  return false;
}

Result<void> read_pods(const Kubectl& kubectl, TestBed& bed, std::vector<std::string>& faults) {
  WEIR_ASSIGN(const Json pods, kubectl.get({"pods", "--namespace", kTestNamespace}));
  for (const Json& pod : pods.value("items", Json::array())) {
    if (pod.at("metadata").contains("deletionTimestamp")) continue;
    TestPod one;
    one.name = pod.at("metadata").at("name");
    one.node = pod.at("spec").value("nodeName", "");
    one.on_host = pod.at("spec").value("hostNetwork", false);
    for (const Json& ip : pod.at("status").value("podIPs", Json::array())) {
      one.addresses.push_back(ip.at("ip"));
    }
    if (is_ready(pod)) {
      bed.pods.push_back(std::move(one));
    } else {
      faults.push_back(fmt::format("pod {} on node {} does not start: {}", one.name, one.node,
                                   why_not_ready(kubectl, pod)));
    }
  }
  return {};
}

Result<void> read_nodes(const Kubectl& kubectl, TestBed& bed) {
  WEIR_ASSIGN(const Json nodes, kubectl.get({"nodes"}));
  for (const Json& node : nodes.value("items", Json::array())) {
    TestNode one{node.at("metadata").at("name"), {}};
    for (const Json& address : node.at("status").value("addresses", Json::array())) {
      if (address.value("type", "") == "InternalIP") one.addresses.push_back(address.at("address"));
    }
    bed.nodes.push_back(std::move(one));
  }
  return {};
}

Result<void> read_services(const Kubectl& kubectl, TestBed& bed) {
  WEIR_ASSIGN(const Json service,
              kubectl.get({"service", "weir-test", "--namespace", kTestNamespace}));
  for (const Json& ip : service.at("spec").at("clusterIPs")) bed.cluster_ips.push_back(ip);
  for (const Json& port : service.at("spec").at("ports")) {
    (port.value("protocol", "") == "UDP" ? bed.udp_node_port : bed.tcp_node_port) =
        port.value("nodePort", std::uint16_t{0});
  }
  WEIR_ASSIGN(const Json api, kubectl.get({"service", "kubernetes", "--namespace", "default"}));
  for (const Json& ip : api.at("spec").at("clusterIPs")) bed.api_ips.push_back(ip);
  return {};
}

Result<TestBed> read_bed(const Options& options, std::vector<std::string>& faults) {
  TestBed bed;
  bed.service_name = fmt::format("weir-test.{}.svc.{}", kTestNamespace, options.domain);
  bed.pod_port = kPodPort;
  bed.host_port = kHostPort;
  bed.service_port = kServicePort;
  WEIR_TRY(read_nodes(options.kube.kubectl, bed));
  WEIR_TRY(read_pods(options.kube.kubectl, bed, faults));
  WEIR_TRY(read_services(options.kube.kubectl, bed));
  return bed;
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

void add_drops(std::vector<Outcome>& outcomes, const std::vector<Flow>& drops) {
  for (Outcome& one : outcomes) {
    if (one.fault.empty()) continue;
    const auto address = Address::parse(one.question.probe.target);
    const auto drop = std::ranges::find_if(drops, [&](const Flow& flow) {
      return address && flow.destination.port == one.question.probe.port &&
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

void unmake_bed(const Options& options) {
  if (options.keep) return;
  (void)options.kube.kubectl.run(
      {"delete", "namespace", kTestNamespace, "--ignore-not-found", "--wait=false"});
}

int run(const Options& options) try {
  Agents agents = look_at_agents(options);
  std::vector<std::string> faults = agents.faults;
  if (const auto made = make_bed(options); !made) return fail(made.error());
  auto bed = read_bed(options, faults);
  if (!bed) {
    unmake_bed(options);
    return fail(bed.error());
  }
  bed->pod_mtu = agents.pod_mtu;
  bed->tunnel = agents.tunnel;
  auto outcomes = ask_all(options.kube.kubectl, *bed, faults);
  const bool any_fault =
      std::ranges::any_of(outcomes, [](const Outcome& one) { return !one.fault.empty(); });
  if (any_fault) add_drops(outcomes, drops_of(agents.asked));
  for (std::string& text : diagnose(*bed, outcomes)) faults.push_back(std::move(text));
  unmake_bed(options);
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
