// What Services and rollouts need of Pods and Deployments, as people write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "k8s/manifests.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string pod_with(const std::string& container, const std::string& spec = "",
                     const std::string& metadata = "") {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: a" + metadata + "}\nspec:\n" + spec +
         "  containers:\n    - name: c\n" + container;
}

std::string deployment_with(const std::string& spec) {
  return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
         "  selector: {matchLabels: {app: d}}\n"
         "  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c}]}}\n" +
         spec;
}

TEST(PodManifest, ExecProbesAndPreStopAreRead) {
  const auto result = parse_manifests(
      pod_with("      readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 2}\n"
               "      lifecycle: {preStop: {exec: {command: [sleep, '1']}}}\n"
               "    - name: d\n      lifecycle: {preStop: {sleep: {seconds: 3}}}\n",
               "  terminationGracePeriodSeconds: 7\n"),
      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, IsEmpty());
  const PodSpec& spec = result.manifests.pods.at(0).spec;
  const Probe& probe = spec.containers.at(0).readiness.value();
  EXPECT_EQ(probe.type, Probe::Type::kExec);
  EXPECT_THAT(probe.command, ElementsAre("test", "-e", "/ready"));
  EXPECT_EQ(probe.period_seconds, 2U);
  EXPECT_THAT(spec.containers[0].pre_stop, ElementsAre("sleep", "1"));
  EXPECT_EQ(spec.containers.at(1).pre_stop_sleep_seconds, 3U);
  EXPECT_EQ(spec.termination_grace_seconds, 7U);
}

TEST(PodManifest, HostPortsAndWeightReachTheModel) {
  const auto result = parse_manifests(
      pod_with("      ports:\n"
               "        - {containerPort: 80, hostPort: 8080, hostIP: 172.30.0.10}\n"
               "        - {containerPort: 80, hostPort: 8080, protocol: UDP}\n"
               "        - {containerPort: 81}\n",
               "", ", annotations: {weir.dev/weight: '70'}"),
      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  const Pod pod = to_model(result.manifests.pods.at(0));
  EXPECT_THAT(pod.host_ports,
              ElementsAre(HostPort{Protocol::kTcp, 8080, 80, *Address::parse("172.30.0.10")},
                          HostPort{Protocol::kUdp, 8080, 80, Address()}));
  EXPECT_EQ(pod.weight, 70U);
  const auto host = parse_manifests(
      pod_with("      ports: [{containerPort: 80, hostPort: 80}]\n", "  hostNetwork: true\n"), "f");
  EXPECT_THAT(to_model(host.manifests.pods.at(0)).host_ports, IsEmpty());
}

TEST(PodManifest, BandwidthAnnotationsAreQuantities) {
  const struct {
    const char* text;
    std::uint64_t bits_per_second;
  } cases[] = {
      {"1k", 1000},       {"1000", 1000},     {"10M", 10'000'000}, {"1.5M", 1'500'000},
      {"2e6", 2'000'000}, {"1Mi", 1'048'576}, {"0.0011M", 1100},   {"1P", 1'000'000'000'000'000}};
  for (const auto& [text, rate] : cases) {
    const std::string annotation = std::string("kubernetes.io/ingress-bandwidth: '") + text + "'";
    const auto result =
        parse_manifests(pod_with("", "", ", annotations: {" + annotation + "}"), "f");
    EXPECT_THAT(result.errors, IsEmpty()) << text;
    EXPECT_EQ(bandwidth_of(result.manifests.pods.at(0)).ingress, rate) << text;
    EXPECT_EQ(bandwidth_of(result.manifests.pods.at(0)).egress, 0U) << text;
  }
  for (const char* text : {"", "0", "999", "-1M", "1E", "2P", "fast", "1MM", "nan", "inf", "1 M"}) {
    EXPECT_FALSE(parse_bandwidth(text)) << text;
  }
}

TEST(PodManifest, LivenessAndStartupProbesAreIgnoredWithOneWarningEach) {
  const std::string probes =
      "      livenessProbe: {exec: {command: [x]}}\n      startupProbe: {tcpSocket: {port: 1}}\n";
  const auto result = parse_manifests(pod_with(probes + "    - name: d\n" + probes), "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings,
              ElementsAre(HasSubstr("spec.containers[0].livenessProbe: is ignored here"),
                          HasSubstr("spec.containers[0].startupProbe: is ignored here")));
}

TEST(DeploymentManifest, TheStrategyIsRead) {
  const struct {
    std::string spec;
    RolloutStrategy strategy;
  } cases[] = {
      {"", {false, {25, true}, {25, true}}},
      {"  strategy: {type: Recreate}\n", {true, {25, true}, {25, true}}},
      {"  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}\n",
       {false, {1, false}, {0, false}}},
      {"  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0%, maxUnavailable: 100%}}\n",
       {false, {0, true}, {100, true}}},
  };
  for (const auto& c : cases) {
    const auto result = parse_manifests(deployment_with(c.spec + "  minReadySeconds: 3\n"), "f");
    ASSERT_THAT(result.errors, IsEmpty()) << c.spec;
    EXPECT_THAT(result.warnings, IsEmpty()) << c.spec;
    EXPECT_EQ(result.manifests.deployments.at(0).strategy, c.strategy) << c.spec;
    EXPECT_EQ(result.manifests.deployments[0].min_ready_seconds, 3U);
  }
}

TEST(PodManifest, EachErrorNamesFileLineObjectAndField) {
  const struct {
    std::string yaml;
    std::string error;
  } cases[] = {
      {pod_with("      readinessProbe: {exec: {command: []}}\n"),
       "f:7: Pod default/a: spec.containers[0].readinessProbe.exec.command: must name a program"},
      {pod_with("      readinessProbe: {exec: {}}\n"), "readinessProbe.exec.command: is missing"},
      {pod_with("      readinessProbe: {exec: {command: [x]}, tcpSocket: {port: 1}}\n"),
       "readinessProbe: must have one of httpGet, tcpSocket and exec only"},
      {pod_with("      readinessProbe: {periodSeconds: 1}\n"),
       "readinessProbe: must have httpGet, tcpSocket or exec"},
      {pod_with("      lifecycle: {preStop: {exec: {command: [x]}, sleep: {seconds: 1}}}\n"),
       "lifecycle.preStop.sleep: may not stand beside exec"},
      {pod_with("      lifecycle: {preStop: {sleep: {seconds: -1}}}\n"),
       "lifecycle.preStop.sleep.seconds: must be 0 to 86400, is -1"},
      {pod_with("      ports: [{containerPort: 80, hostPort: 65536}]\n"),
       "ports[0].hostPort: must be 0 to 65535, is 65536"},
      {pod_with("      ports: [{containerPort: 80, hostPort: 80, hostIP: me}]\n"),
       "ports[0].hostIP: must be an address, is 'me'"},
      {pod_with("      ports: [{containerPort: 80, hostPort: 9}, {containerPort: 81, hostPort: "
                "9}]\n"),
       "spec.containers[0]: hostPort 9/TCP is there twice"},
      {pod_with("      ports: [{containerPort: 80, hostPort: 9}]\n", "  hostNetwork: true\n"),
       "hostPort must be the containerPort, since the pod has hostNetwork"},
      {pod_with("", "", ", annotations: {weir.dev/weight: '0'}"),
       "metadata.annotations.weir.dev/weight: must be \"1\" to \"256\", is '0'"},
      {pod_with("", "", ", annotations: {weir.dev/weight: 70}"),
       "weir.dev/weight: must be a string, is 70: put it in quotes"},
      {pod_with("", "", ", annotations: {kubernetes.io/egress-bandwidth: much}"),
       "kubernetes.io/egress-bandwidth: must be \"1k\" to \"1P\", in bits per second, is 'much'"},
      {deployment_with("  strategy: {type: BlueGreen}\n"),
       "f:7: Deployment default/d: spec.strategy.type: must be RollingUpdate or Recreate"},
      {deployment_with("  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n"),
       "spec.strategy.rollingUpdate: wants type: RollingUpdate"},
      {deployment_with("  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}\n"),
       "spec.strategy.rollingUpdate: maxSurge and maxUnavailable may not both be 0"},
      {deployment_with("  strategy: {rollingUpdate: {maxSurge: 101%}}\n"),
       "spec.strategy.rollingUpdate.maxSurge: must be a number of pods or 0% to 100%, is '101%'"},
      {deployment_with("  strategy: {rollingUpdate: {maxSurge: many}}\n"), "is 'many'"},
      {deployment_with("  minReadySeconds: -1\n"), "spec.minReadySeconds: must be 0 to 86400"},
  };
  for (const auto& c : cases) {
    const auto result = parse_manifests(c.yaml, "f");
    ASSERT_FALSE(result.errors.empty()) << c.yaml;
    EXPECT_THAT(result.errors[0], HasSubstr(c.error)) << c.yaml;
    EXPECT_EQ(result.errors.size(), 1U) << c.yaml << result.errors.back();
  }
}

}  // namespace
}  // namespace weir
