#include "cli/test_bed.h"

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

namespace weir::cli {
namespace {

using Json = nlohmann::json;

constexpr std::uint16_t kPodPort = 8080;
constexpr std::uint16_t kHostPort = 28080;
constexpr std::uint16_t kServicePort = 80;

constexpr std::string_view kManifest = R"yaml(
apiVersion: v1
kind: Namespace
metadata:
  name: weir-test
  labels: {{pod-security.kubernetes.io/enforce: privileged}}
---
{pods}---
{hosts}---
apiVersion: v1
kind: Service
metadata: {{name: weir-test, namespace: weir-test}}
spec:
  type: NodePort
  selector: {{app: pod}}
  ipFamilyPolicy: PreferDualStack
  ports:
    - {{name: tcp, port: {port}, protocol: TCP, targetPort: {pod_port}}}
    - {{name: udp, port: {port}, protocol: UDP, targetPort: {pod_port}}}
)yaml";

// A pod of each node, of its own network or in the host's; the image is the agents' own.
constexpr std::string_view kDaemonSet = R"yaml(
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: {name}, namespace: weir-test}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      hostNetwork: {on_host}
      tolerations: [{{operator: Exists}}]
      terminationGracePeriodSeconds: 1
      automountServiceAccountToken: false
      containers:
        - name: weir
          image: {image}
          command: [/usr/bin/weir, answer, --port, "{port}", --name, $(NAME)]
          env: [{{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
)yaml";

std::string daemon_set(std::string_view name, bool on_host, const std::string& image) {
  return fmt::format(kDaemonSet, fmt::arg("name", name), fmt::arg("on_host", on_host),
                     fmt::arg("image", image), fmt::arg("port", on_host ? kHostPort : kPodPort));
}

Result<std::string> image_of_agents(const Kubectl& kubectl) {
  return kubectl.ask({"get", "daemonset", "weir-agent", "--namespace", kNamespace, "-o",
                      "jsonpath={.spec.template.spec.containers[0].image}"});
}

// What an earlier run made goes before anything is made: otherwise it would take that with it.
Result<void> await_end_of_earlier(const Kubectl& kubectl, const std::string& wait) {
  WEIR_ASSIGN(const std::string leaving,
              kubectl.ask({"get", "namespace", kTestNamespace, "--ignore-not-found", "-o",
                           "jsonpath={.metadata.deletionTimestamp}"}));
  if (leaving.empty()) return {};
  const auto gone = kubectl.ask(
      {"wait", "--for=delete", fmt::format("namespace/{}", kTestNamespace), "--timeout", wait});
  if (gone) return {};
  return Error(Code::kUnavailable, fmt::format("namespace {} of an earlier run does not go: {}",
                                               kTestNamespace, gone.error().text()));
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

}  // namespace

Result<void> make_test_bed(const Kubectl& kubectl, const std::string& wait) {
  WEIR_TRY(await_end_of_earlier(kubectl, wait));
  WEIR_ASSIGN(const std::string image, image_of_agents(kubectl));
  const std::string manifest =
      fmt::format(kManifest, fmt::arg("pods", daemon_set("pod", false, image)),
                  fmt::arg("hosts", daemon_set("host", true, image)),
                  fmt::arg("port", kServicePort), fmt::arg("pod_port", kPodPort));
  const auto applied = kubectl.ask({"apply", "--filename", "-"}, manifest);
  if (!applied) return applied.error();
  for (const char* set : {"daemonset/pod", "daemonset/host"}) {
    // Pods that do not come are found by read_pods.
    (void)kubectl.run({"rollout", "status", "--namespace", kTestNamespace, set, "--timeout", wait});
  }
  return {};
}

Result<TestBed> read_test_bed(const Kubectl& kubectl, const std::string& domain,
                              std::vector<std::string>& faults) {
  TestBed bed;
  bed.service_name = fmt::format("weir-test.{}.svc.{}", kTestNamespace, domain);
  bed.pod_port = kPodPort;
  bed.host_port = kHostPort;
  bed.service_port = kServicePort;
  WEIR_TRY(read_nodes(kubectl, bed));
  WEIR_TRY(read_pods(kubectl, bed, faults));
  WEIR_TRY(read_services(kubectl, bed));
  return bed;
}

void unmake_test_bed(const Kubectl& kubectl) {
  (void)kubectl.run({"delete", "namespace", kTestNamespace, "--ignore-not-found", "--wait=false"});
}

}  // namespace weir::cli
