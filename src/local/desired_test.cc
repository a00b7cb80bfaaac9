#include "local/desired.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "local/manifest_json.h"

namespace weir::local {
namespace {

DeploymentManifest deployment(std::uint32_t replicas, const std::string& image_arg) {
  const auto yaml =
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n"
      "  replicas: " +
      std::to_string(replicas) +
      "\n  selector: {matchLabels: {app: cart}}\n  template:\n"
      "    metadata: {labels: {app: cart}}\n    spec:\n"
      "      containers: [{name: c, args: ['" +
      image_arg + "']}]\n";
  const auto result = parse_manifests(yaml, "test.yaml");
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.errors.front());
  return result.manifests.deployments.at(0);
}

std::vector<DesiredPod> desired(std::uint32_t replicas, const std::string& arg = "x") {
  Manifests manifests;
  manifests.deployments.push_back(deployment(replicas, arg));
  return desired_pods(manifests);
}

std::vector<ExistingPod> running(const std::vector<DesiredPod>& pods, bool ready = true) {
  std::vector<ExistingPod> result;
  for (const auto& pod : pods) result.push_back({pod.key(), pod.workload, pod.hash, ready, false});
  return result;
}

TEST(Desired, NamesOfADeploymentsPodsAreStable) {
  const auto three = desired(3);
  const auto two = desired(2);
  ASSERT_EQ(three.size(), 3U);
  EXPECT_EQ(three[0].key(), two[0].key());
  EXPECT_EQ(three[1].key(), two[1].key());
  EXPECT_NE(three[1].key(), three[2].key());
}

TEST(Desired, NothingIsDoneWhenAllIsThere) {
  const auto steps = next_steps(desired(3), running(desired(3)));
  EXPECT_TRUE(steps.create.empty());
  EXPECT_TRUE(steps.remove.empty());
}

TEST(Desired, ScalingUpMakesWhatIsMissing) {
  const auto steps = next_steps(desired(3), running(desired(1)));
  EXPECT_EQ(steps.create.size(), 2U);
  EXPECT_TRUE(steps.remove.empty());
}

TEST(Desired, ScalingDownWaitsForNobody) {
  const auto steps = next_steps(desired(1), running(desired(3), false));
  EXPECT_TRUE(steps.create.empty());
  EXPECT_EQ(steps.remove.size(), 2U);
  EXPECT_EQ(next_steps(desired(0), running(desired(3))).remove.size(), 3U);
}

TEST(Desired, ChangedDeploymentKeepsOldPodsUntilNewOnesAreReady) {
  const auto fresh = desired(2, "new");
  auto existing = running(desired(2, "old"));
  auto steps = next_steps(fresh, existing);
  EXPECT_EQ(steps.create.size(), 2U);
  EXPECT_TRUE(steps.remove.empty());

  auto first = running(fresh, false);
  first[0].ready = true;
  existing.insert(existing.end(), first.begin(), first.end());
  steps = next_steps(fresh, existing);
  EXPECT_TRUE(steps.create.empty());
  EXPECT_EQ(steps.remove.size(), 1U);
}

TEST(Desired, OldPodsThatAreNotReadyGoAtOnce) {
  const auto steps = next_steps(desired(2, "new"), running(desired(2, "old"), false));
  EXPECT_EQ(steps.remove.size(), 2U);
}

TEST(Desired, ChangedPodGoesBeforeItsSuccessor) {
  const auto pod = [](const char* arg) {
    const auto result =
        parse_manifests(std::string("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
                                    "  containers: [{name: c, args: ['") +
                            arg + "']}]\n",
                        "test.yaml");
    return desired_pods(result.manifests);
  };
  auto existing = running(pod("old"));
  auto steps = next_steps(pod("new"), existing);
  EXPECT_TRUE(steps.create.empty());
  EXPECT_EQ(steps.remove.size(), 1U);
  existing[0].terminating = true;
  EXPECT_TRUE(next_steps(pod("new"), existing).remove.empty());
  EXPECT_EQ(next_steps(pod("new"), {}).create.size(), 1U);
}

TEST(ManifestJson, IsReadBackEqual) {
  constexpr const char* kYaml = R"yaml(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: x}, annotations: {note: "a\nb"}}
spec:
  nodeName: n1
  hostNetwork: true
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 3
  containers:
    - name: c
      command: [sh, -c, 'echo "$(A)"']
      env:
        - {name: A, value: "1"}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      ports: [{name: http, containerPort: 80}, {containerPort: 53, protocol: UDP}]
      readinessProbe:
        httpGet: {path: /x, port: 80, httpHeaders: [{name: A, value: b}]}
        periodSeconds: 2
    - name: d
      readinessProbe: {tcpSocket: {port: 90}, failureThreshold: 7}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}, {name: b, port: 81, targetPort: 8081}]
)yaml";
  const auto first = parse_manifests(kYaml, "test.yaml");
  ASSERT_TRUE(first.ok()) << first.errors.front();
  const auto& m = first.manifests;
  const auto again =
      parse_manifests(to_manifest(m.namespaces[0]) + "---\n" + to_manifest(m.pods[0]) + "---\n" +
                          to_manifest(m.deployments[0]) + "---\n" + to_manifest(m.services[0]),
                      "again.yaml");
  ASSERT_TRUE(again.ok()) << again.errors.front();
  EXPECT_EQ(again.manifests.namespaces[0].meta.labels, m.namespaces[0].meta.labels);
  EXPECT_EQ(again.manifests.pods[0].spec, m.pods[0].spec);
  EXPECT_EQ(again.manifests.pods[0].meta.annotations, m.pods[0].meta.annotations);
  EXPECT_EQ(again.manifests.deployments[0].spec, m.deployments[0].spec);
  EXPECT_EQ(again.manifests.deployments[0].replicas, m.deployments[0].replicas);
  EXPECT_EQ(again.manifests.deployments[0].selector, m.deployments[0].selector);
  EXPECT_EQ(again.manifests.services[0].service, m.services[0].service);
}

}  // namespace
}  // namespace weir::local
