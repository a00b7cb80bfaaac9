#include "local/desired.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "local/manifest_json.h"

namespace weir::local {
namespace {

Desired deployment(std::uint32_t replicas, const std::string& arg = "x",
                   const RolloutStrategy& strategy = {}) {
  const auto yaml =
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\nspec:\n"
      "  replicas: " +
      std::to_string(replicas) +
      "\n  selector: {matchLabels: {app: cart}}\n  template:\n"
      "    metadata: {labels: {app: cart}}\n    spec:\n"
      "      containers: [{name: c, args: ['" +
      arg + "']}]\n";
  auto result = parse_manifests(yaml, "test.yaml");
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.errors.front());
  result.manifests.deployments.at(0).strategy = strategy;
  return make_desired(result.manifests);
}

// Plays the cluster: pods that are created become ready and available, those that are removed
// terminate and go, one event at a time.
class Play {
 public:
  explicit Play(Desired desired) : desired_(std::move(desired)) {}

  void change(Desired desired) { desired_ = std::move(desired); }

  Steps step() {
    auto steps = next_steps(desired_, pods);
    for (const auto& key : steps.remove) find(key).terminating = true;
    for (const auto& pod : steps.create) {
      pods.push_back({pod.key(), pod.workload, pod.hash, ++order_, false, false, false});
    }
    return steps;
  }

  void make_ready(bool all = true) {
    for (auto& pod : pods) {
      if (pod.terminating || pod.available) continue;
      pod.ready = pod.available = true;
      if (!all) return;
    }
  }

  void end_terminating() {
    std::erase_if(pods, [](const ExistingPod& pod) { return pod.terminating; });
  }

  void settle() {
    while (true) {
      const auto steps = step();
      make_ready();
      end_terminating();
      if (steps.create.empty() && steps.remove.empty()) return;
    }
  }

  std::size_t alive() const {
    return static_cast<std::size_t>(std::ranges::count(pods, false, &ExistingPod::terminating));
  }
  std::size_t available() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        pods, [](const ExistingPod& pod) { return pod.available && !pod.terminating; }));
  }
  bool is_current() const {
    return std::ranges::all_of(pods,
                               [this](const ExistingPod& pod) { return desired_.is_current(pod); });
  }

  std::vector<ExistingPod> pods;

 private:
  ExistingPod& find(const ObjectKey& key) {
    return *std::ranges::find(pods, key, &ExistingPod::key);
  }

  Desired desired_;
  std::uint64_t order_ = 0;
};

Play settled(std::uint32_t replicas, const std::string& arg = "old") {
  Play cluster(deployment(replicas, arg));
  cluster.settle();
  EXPECT_EQ(cluster.pods.size(), replicas);
  return cluster;
}

TEST(Desired, NamesOfADeploymentsPodsAreStable) {
  const auto names = [](std::uint32_t replicas) {
    std::vector<ObjectKey> keys;
    for (const auto& pod : next_steps(deployment(replicas), {}).create) keys.push_back(pod.key());
    return keys;
  };
  const auto three = names(3);
  const auto two = names(2);
  ASSERT_EQ(three.size(), 3U);
  EXPECT_EQ(three[0], two[0]);
  EXPECT_EQ(three[1], two[1]);
  EXPECT_NE(three[1], three[2]);
}

TEST(Desired, ATerminatingPodsNameIsNotTaken) {
  auto cluster = settled(1);
  cluster.pods[0].terminating = true;
  const auto steps = cluster.step();
  ASSERT_EQ(steps.create.size(), 1U);
  EXPECT_NE(steps.create[0].key(), cluster.pods[0].key);
}

TEST(Desired, NothingIsDoneWhenAllIsThere) {
  auto cluster = settled(3);
  const auto steps = cluster.step();
  EXPECT_TRUE(steps.create.empty());
  EXPECT_TRUE(steps.remove.empty());
}

TEST(Desired, ScalingMakesWhatIsMissingAndRemovesTheRest) {
  auto cluster = settled(1);
  cluster.change(deployment(3, "old"));
  EXPECT_EQ(cluster.step().create.size(), 2U);
  cluster.make_ready();
  cluster.pods[0].ready = cluster.pods[0].available = false;
  cluster.change(deployment(1, "old"));
  const auto steps = cluster.step();
  ASSERT_EQ(steps.remove.size(), 2U);
  EXPECT_EQ(steps.remove[0], cluster.pods[0].key) << "one that does not serve goes first";
  EXPECT_EQ(steps.remove[1], cluster.pods[2].key) << "then the youngest";
  cluster.change(deployment(0, "old"));
  EXPECT_EQ(cluster.step().remove.size(), 1U);
}

// Pods become ready one by one; at each moment the strategy's bounds hold.
TEST(Desired, ARollingUpdateStaysWithinItsBounds) {
  const struct {
    std::uint32_t replicas;
    PodCount surge, unavailable;
    std::size_t most, least;
  } cases[] = {
      {4, {25, true}, {25, true}, 5, 3},   {3, {25, true}, {25, true}, 4, 3},
      {1, {25, true}, {25, true}, 2, 1},   {4, {0, false}, {1, false}, 4, 3},
      {4, {2, false}, {0, false}, 6, 4},   {4, {100, true}, {0, false}, 8, 4},
      {3, {0, false}, {100, true}, 3, 0},  {2, {0, false}, {0, false}, 2, 1},
      {10, {3, false}, {20, true}, 13, 8},
  };
  for (const auto& one : cases) {
    auto cluster = settled(one.replicas);
    cluster.change(deployment(one.replicas, "new", {false, one.surge, one.unavailable}));
    std::size_t most = 0;
    std::size_t least = one.replicas;
    for (int i = 0; i < 100; ++i) {
      cluster.step();
      most = std::max(most, cluster.alive());
      least = std::min(least, cluster.available());
      cluster.make_ready(false);
      cluster.end_terminating();
    }
    EXPECT_LE(most, one.most) << one.replicas;
    EXPECT_GE(least, one.least) << one.replicas;
    EXPECT_TRUE(cluster.is_current());
    EXPECT_EQ(cluster.pods.size(), one.replicas);
  }
}

TEST(Desired, ReadinessGatesARollingUpdate) {
  auto cluster = settled(4);
  cluster.change(deployment(4, "new"));
  for (int i = 0; i < 10; ++i) {
    cluster.step();
    cluster.end_terminating();
  }
  EXPECT_EQ(cluster.available(), 3U);
  EXPECT_EQ(cluster.alive(), 5U);
}

TEST(Desired, ReadyForTooShortATimeIsNotAvailable) {
  auto cluster = settled(1);
  cluster.change(deployment(1, "new"));
  cluster.step();
  cluster.pods.back().ready = true;
  EXPECT_TRUE(cluster.step().remove.empty());
  cluster.pods.back().available = true;
  EXPECT_EQ(cluster.step().remove.size(), 1U);
}

TEST(Desired, OldPodsThatDoNotServeGoFirst) {
  auto cluster = settled(4);
  cluster.pods[2].ready = cluster.pods[2].available = false;
  cluster.change(deployment(4, "new"));
  const auto steps = cluster.step();
  ASSERT_EQ(steps.remove.size(), 1U);
  EXPECT_EQ(steps.remove[0], cluster.pods[2].key);
}

TEST(Desired, ARollbackUnderWayEndsWell) {
  auto cluster = settled(3);
  cluster.change(deployment(3, "new"));
  cluster.step();
  cluster.change(deployment(3, "old"));
  cluster.settle();
  EXPECT_TRUE(cluster.is_current());
  EXPECT_EQ(cluster.pods.size(), 3U);
}

TEST(Desired, RecreateWaitsForTheEndOfTheOldPods) {
  auto cluster = settled(2);
  cluster.change(deployment(2, "new", {.recreate = true, .max_surge = {}, .max_unavailable = {}}));
  auto steps = cluster.step();
  EXPECT_EQ(steps.remove.size(), 2U);
  EXPECT_TRUE(steps.create.empty());
  EXPECT_TRUE(cluster.step().create.empty());
  cluster.end_terminating();
  EXPECT_EQ(cluster.step().create.size(), 2U);
}

TEST(Desired, ADeletedDeploymentsPodsGo) {
  auto cluster = settled(2);
  cluster.change({});
  EXPECT_EQ(cluster.step().remove.size(), 2U);
}

TEST(Desired, ChangedPodGoesBeforeItsSuccessor) {
  const auto pod = [](const char* arg) {
    const auto result =
        parse_manifests(std::string("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
                                    "  containers: [{name: c, args: ['") +
                            arg + "']}]\n",
                        "test.yaml");
    return make_desired(result.manifests);
  };
  Play cluster(pod("old"));
  cluster.settle();
  ASSERT_EQ(cluster.pods.size(), 1U);
  cluster.change(pod("new"));
  EXPECT_EQ(cluster.step().remove.size(), 1U);
  const auto steps = cluster.step();
  EXPECT_TRUE(steps.create.empty());
  EXPECT_TRUE(steps.remove.empty());
  cluster.end_terminating();
  EXPECT_EQ(cluster.step().create.size(), 1U);
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
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 3
  containers:
    - name: c
      command: [sh, -c, 'echo "$(A)"']
      env:
        - {name: A, value: "1"}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      ports: [{name: http, containerPort: 80, hostPort: 8080, hostIP: 127.0.0.1},
              {containerPort: 53, protocol: UDP}]
      lifecycle: {preStop: {exec: {command: [sleep, "1"]}}}
      readinessProbe:
        httpGet: {path: /x, port: 80, httpHeaders: [{name: A, value: b}]}
        periodSeconds: 2
    - name: d
      readinessProbe: {tcpSocket: {port: 90}, failureThreshold: 7}
      lifecycle: {preStop: {sleep: {seconds: 3}}}
    - name: e
      readinessProbe: {exec: {command: [test, -e, /x]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 4
  minReadySeconds: 5
  strategy: {rollingUpdate: {maxSurge: 10%, maxUnavailable: 2}}
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
  labels: {a: b}
  annotations: {weir.dev/forwarding: dsr}
  creationTimestamp: "2026-11-24T02:00:00Z"
spec:
  type: LoadBalancer
  selector: {app: cart}
  ipFamilyPolicy: PreferDualStack
  clusterIPs: [10.96.0.5, "fd00:96::5"]
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}, {name: b, port: 81}]
  externalTrafficPolicy: Local
  healthCheckNodePort: 30081
  sessionAffinity: ClientIP
  loadBalancerSourceRanges: [10.0.0.0/8]
  trafficDistribution: PreferSameNode
status: {loadBalancer: {ingress: [{ip: 192.0.2.7, ipMode: Proxy}]}}
---
apiVersion: v1
kind: Service
metadata: {name: name, namespace: shop}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints:
  - addresses: [10.244.0.5]
    conditions: {ready: false, serving: true, terminating: true}
    nodeName: n0
    zone: a
    hints: {forZones: [{name: a}]}
)yaml";
  const auto first = parse_manifests(kYaml, "test.yaml");
  ASSERT_TRUE(first.ok()) << first.errors.front();
  const auto& m = first.manifests;
  const auto again =
      parse_manifests(to_manifest(m.namespaces[0]) + "---\n" + to_manifest(m.pods[0]) + "---\n" +
                          to_manifest(m.deployments[0]) + "---\n" + to_manifest(m.services[0]) +
                          "---\n" + to_manifest(m.services[1]) + "---\n" + to_manifest(m.slices[0]),
                      "again.yaml");
  ASSERT_TRUE(again.ok()) << again.errors.front();
  EXPECT_EQ(again.manifests.namespaces[0].meta.labels, m.namespaces[0].meta.labels);
  EXPECT_EQ(again.manifests.pods[0].spec, m.pods[0].spec);
  EXPECT_EQ(again.manifests.pods[0].meta.annotations, m.pods[0].meta.annotations);
  EXPECT_EQ(again.manifests.deployments[0].spec, m.deployments[0].spec);
  EXPECT_EQ(again.manifests.deployments[0].replicas, m.deployments[0].replicas);
  EXPECT_EQ(again.manifests.deployments[0].selector, m.deployments[0].selector);
  EXPECT_EQ(again.manifests.deployments[0].strategy, m.deployments[0].strategy);
  EXPECT_EQ(again.manifests.deployments[0].min_ready_seconds, 5U);
  EXPECT_EQ(again.manifests.services[0].meta.labels, m.services[0].meta.labels);
  EXPECT_EQ(again.manifests.services[0].meta.annotations, m.services[0].meta.annotations);
  EXPECT_EQ(again.manifests.services[0].family_policy, FamilyPolicy::kPreferDualStack);
  EXPECT_EQ(again.manifests.services[0].service, m.services[0].service);
  EXPECT_EQ(again.manifests.services[1].external_name, "example.com");
  EXPECT_EQ(again.manifests.slices[0].slice, m.slices[0].slice);
}

}  // namespace
}  // namespace weir::local
