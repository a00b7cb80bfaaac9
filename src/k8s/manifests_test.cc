#include "k8s/manifests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

namespace weir {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kShop = R"(apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart
  namespace: shop
spec:
  replicas: 3
  selector: {matchLabels: {app: cart}}
  template:
    metadata:
      labels: {app: cart, tier: back}
      annotations: {note: "any text: 1"}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: cart
          image: shop/cart:1
          command: [/usr/bin/python3, -m, http.server]
          args: ["8080"]
          env:
            - {name: PORT, value: "8080"}
            - name: MY_IP
              valueFrom: {fieldRef: {fieldPath: status.podIP}}
          ports:
            - {name: http, containerPort: 8080}
            - {containerPort: 53, protocol: UDP}
          readinessProbe:
            httpGet: {path: healthz, port: http, httpHeaders: [{name: X, value: "1"}]}
            periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports:
    - {name: http, port: 80, targetPort: http}
    - {name: dns, port: 53, protocol: UDP}
---
apiVersion: v1
kind: Pod
metadata: {name: load}
spec:
  nodeName: n1
  hostNetwork: true
  restartPolicy: Never
  containers:
    - name: load
      readinessProbe: {tcpSocket: {port: 9}, failureThreshold: 7}
)";

// A Pod in whose only container `fields` stand, one per line.
std::string pod_with(const std::string& fields) {
  return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: c\n" +
         fields;
}

std::string deployment_with(const std::string& spec) {
  return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n" + spec;
}

TEST(Manifests, AShopIsReadInFull) {
  const auto result = parse_manifests(kShop, "shop.yaml");
  ASSERT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, IsEmpty());
  const Manifests& m = result.manifests;
  ASSERT_EQ(m.namespaces.size(), 1U);
  EXPECT_EQ(m.namespaces[0].meta.labels, (Labels{{"team", "a"}}));
  ASSERT_EQ(m.deployments.size(), 1U);
  const DeploymentManifest& cart = m.deployments[0];
  EXPECT_EQ(cart.meta.key().to_string(), "shop/cart");
  EXPECT_EQ(cart.meta.place.to_string(), "shop.yaml:5");
  EXPECT_EQ(cart.replicas, 3U);
  EXPECT_EQ(cart.template_labels, (Labels{{"app", "cart"}, {"tier", "back"}}));
  EXPECT_EQ(cart.spec.termination_grace_seconds, 2U);
  Probe probe;
  probe.type = Probe::Type::kHttpGet;
  probe.port = 8080;
  probe.path = "/healthz";
  probe.headers = {{"X", "1"}};
  probe.period_seconds = 1;
  const Container container{
      .name = "cart",
      .command = {"/usr/bin/python3", "-m", "http.server"},
      .args = {"8080"},
      .env = {{"PORT", "8080", ""}, {"MY_IP", "", "status.podIP"}},
      .ports = {{"http", 8080, Protocol::kTcp, 0, {}}, {"", 53, Protocol::kUdp, 0, {}}},
      .readiness = probe,
      .pre_stop = {},
  };
  EXPECT_THAT(cart.spec.containers, ElementsAre(container));
  ASSERT_EQ(m.pods.size(), 1U);
  const PodSpec& load = m.pods[0].spec;
  EXPECT_EQ(m.pods[0].meta.namespace_, "default");
  EXPECT_EQ(load.node_name, "n1");
  EXPECT_TRUE(load.host_network);
  EXPECT_EQ(load.restart_policy, RestartPolicy::kNever);
  EXPECT_EQ(load.containers[0].readiness->failure_threshold, 7U);
  ASSERT_EQ(m.services.size(), 1U);
  const Service& service = m.services[0].service;
  EXPECT_THAT(service.ports, ElementsAre(ServicePort{"http", Protocol::kTcp, 80, {0, "http"}, 0},
                                         ServicePort{"dns", Protocol::kUdp, 53, {53, ""}, 0}));
}

TEST(Manifests, ModelValuesComeFromThem) {
  const Manifests m = parse_manifests(kShop, "shop.yaml").manifests;
  EXPECT_EQ(to_model(m.namespaces[0]), (Namespace{"shop", {{"team", "a"}}}));
  EXPECT_TRUE(to_model(m.pods[0]).host_network);
  const PodManifest replica = pod_of(m.deployments[0], "cart-0");
  EXPECT_EQ(replica.meta.key().to_string(), "shop/cart-0");
  EXPECT_TRUE(to_model(m.services[0]).selects(to_model(replica).labels));
}

TEST(Manifests, EachErrorNamesFileLineObjectAndField) {
  const std::string good_template =
      "  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c}]}}\n";
  const struct {
    std::string yaml;
    std::string error;
  } cases[] = {
      {pod_with("      ports:\n        - containerPort: http\n"),
       "f:8: Pod default/a: spec.containers[0].ports[0].containerPort: must be 1 to 65535, is "
       "'http'"},
      {pod_with("      ports: [{containerPort: 65536}]\n"), "must be 1 to 65535, is 65536"},
      {pod_with("      ports: [{containerPort: '80'}]\n"), "must be 1 to 65535, is '80'"},
      {pod_with("      ports: [{containerPort: 80.5}]\n"), "must be 1 to 65535, is 80.5"},
      {pod_with("      ports: [{}]\n"), "spec.containers[0].ports[0].containerPort: is missing"},
      {pod_with("      ports: {containerPort: 80}\n"),
       "spec.containers[0].ports: must be a list, is an object"},
      {pod_with("      command: run\n"), "spec.containers[0].command: must be a list, is 'run'"},
      {pod_with("      args: [8080]\n"), "args[0]: must be a string, is 8080: put it in quotes"},
      {pod_with("      args: [\"a\\0b\"]\n"), "args[0]: must have no NUL character"},
      {pod_with("      env: [{name: A, value: on}]\n"),
       "env[0].value: must be a string, is on: put it in quotes"},
      {pod_with("      env: [{name: A=B}]\n"), "env[0].name: must be a name without '='"},
      {pod_with("      env: [{name: A, valueFrom: {fieldRef: {fieldPath: a.b}}}]\n"),
       "env[0].valueFrom.fieldRef.fieldPath: must be a field that pods have here, is 'a.b'"},
      {pod_with("      readinessProbe: {httpGet: {port: web}}\n"),
       "readinessProbe.httpGet.port: must be 1 to 65535 or the name of a port of this container, "
       "is 'web'"},
      {pod_with("      readinessProbe: {}\n"), "must have httpGet, tcpSocket or exec"},
      {pod_with("      readinessProbe: {tcpSocket: {port: 1}, periodSeconds: 0}\n"),
       "periodSeconds: must be 1 to 86400, is 0"},
      {pod_with("    - name: c\n"), "another container is named 'c'"},
      {pod_with("  restartPolicy: Often\n"),
       "spec.restartPolicy: must be Always or OnFailure or Never, is 'Often'"},
      {pod_with("  hostNetwork: \"true\"\n"), "must be true or false, is 'true'"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}\nspec: {containers: [{name: c}]}\n",
       "f:3: Pod default/A_b: metadata.name: must be lowercase letters"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {containers: [{name: c}]}\n",
       "metadata.name: is missing"},
      {"apiVersion: v1\nkind: Pod\nspec: {containers: [{name: c}]}\n", "metadata: is missing"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "Pod default/a: spec: is missing"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
       "spec.containers: must have 1 to 16 containers"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {x: a b}}\nspec: {containers: "
       "[{name: c}]}\n",
       "metadata.labels.x: must be a valid label"},
      {"apiVersion: v2\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}\n",
       "f:1: Pod: apiVersion: must be v1, is 'v2'"},
      {"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: "
       "[{name: c}]}\n",
       "f:3: Pod shop/a: metadata.namespace: there is no Namespace 'shop'"},
      {"metadata: {name: a}\n", "f:1: document: kind: is missing"},
      {"- a\n", "f:1: document: must be an object, is a list"},
      {"kind: [\n", "not YAML: "},
      {"a: 1\na: 2\n", "f:2: field 'a' is given twice"},
      {"? {a: b}\n: c\n", "the name of a field must be a string"},
      {deployment_with("  replicas: 257\n  selector: {matchLabels: {app: d}}\n" + good_template),
       "f:5: Deployment default/d: spec.replicas: must be 0 to 256, is 257"},
      {deployment_with("  selector: {matchLabels: {app: e}}\n" + good_template),
       "spec.selector: wants the label app=e, which spec.template.metadata.labels lacks"},
      {deployment_with("  selector: {matchExpressions: []}\n" + good_template),
       "matchExpressions: is not supported here"},
      {deployment_with("  selector: {}\n" + good_template), "must have at least one label"},
      {deployment_with(good_template), "spec.selector: is missing"},
      {deployment_with("  selector: {matchLabels: {app: d}}\n"), "spec.template: is missing"},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 1}, {port: "
       "2, name: x}]}\n",
       "name is missing: there are more ports"},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {clusterIP: x, ports: [{port: "
       "1}]}\n",
       "spec.clusterIP: must be an address or None, is 'x'"},
      {"apiVersion: v1\nkind: Namespace\nmetadata: {name: s, namespace: t}\n",
       "Namespace s: metadata.namespace: this kind has none"},
  };
  for (const auto& c : cases) {
    const auto result = parse_manifests(c.yaml, "f");
    ASSERT_FALSE(result.errors.empty()) << c.yaml;
    EXPECT_THAT(result.errors[0], HasSubstr(c.error)) << c.yaml;
    EXPECT_EQ(result.errors.size(), 1U) << c.yaml << result.errors.back();
  }
}

TEST(Manifests, AllErrorsAreCollected) {
  const auto result = parse_manifests(
      pod_with("      ports: [{containerPort: 0}]\n      args: x\n") + "---\nkind: 3\n", "f");
  EXPECT_THAT(result.errors,
              ElementsAre(HasSubstr("f:7:"), HasSubstr("f:8:"), HasSubstr("f:10: document: kind")));
}

TEST(Manifests, DuplicatesNameBothPlaces) {
  const std::string pod = pod_with("");
  const auto result = parse_manifests(pod + "---\n" + pod, "f");
  EXPECT_THAT(result.errors,
              ElementsAre(HasSubstr("f:8: Pod default/a: is already defined at f:1")));
}

TEST(Manifests, WhatIsNotUsedIsWarnedOfOncePerKindAndField) {
  const auto result = parse_manifests(
      pod_with(
          "      imagePullPolicy: Always\n      comand: [x]\n    - name: d\n      comand: []\n") +
          "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
          "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\n",
      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings,
              ElementsAre("f:7: Pod default/a: spec.containers[0].imagePullPolicy: is ignored here",
                          "f:8: Pod default/a: spec.containers[0].comand: unknown field",
                          "f:12: ConfigMap: is ignored here"));
}

TEST(Manifests, ReferencesToOtherObjectsLeaveTheVariableUnset) {
  const auto result = parse_manifests(
      pod_with("      env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"), "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, ElementsAre(HasSubstr("secretKeyRef: is ignored here")));
  EXPECT_THAT(result.manifests.pods[0].spec.containers[0].env, IsEmpty());
}

TEST(Manifests, KnownNamespacesNeedNoManifest) {
  const std::string yaml =
      "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: "
      "[{name: c}]}\n";
  EXPECT_THAT(parse_manifests(yaml, "f", {"shop"}).errors, IsEmpty());
}

TEST(Manifests, AbsurdSizesAreRefused) {
  std::string deep = "a: ";
  for (int i = 0; i < 5000; ++i) deep += "[";
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    const std::string last(1, static_cast<char>(c - 1));
    bomb += std::string(1, c) + ": &" + c + " [*" + last;
    for (int i = 0; i < 8; ++i) bomb += ", *" + last;
    bomb += "]\n";
  }
  const std::string self = "a: &a {b: *a}\n";
  const struct {
    std::string yaml;
    std::string error;
  } cases[] = {
      {deep, "f:1: is nested deeper than 64"},
      {std::string(500000, '['), "has more brackets and commas than any manifest"},
      {bomb, "has more than 100000 values"},
      {self, "an alias may not be part of itself"},
      {std::string((8U << 20) + 1, ' '), "f: is larger than 8 MiB"},
  };
  for (const auto& c : cases) {
    const auto result = parse_manifests(c.yaml, "f");
    ASSERT_EQ(result.errors.size(), 1U);
    EXPECT_THAT(result.errors[0], HasSubstr(c.error));
  }
}

TEST(Manifests, TextThatNoProcessCanBeGivenIsRefused) {
  const std::string much(100'001, 'x');
  EXPECT_THAT(parse_manifests(pod_with("      args: [\"" + much + "\"]\n"), "f").errors,
              ElementsAre("f:7: Pod default/a: spec.containers[0].args[0]: has 100001 bytes: at "
                          "most 100000 are allowed"));
  EXPECT_THAT(parse_manifests(pod_with("      args: [\"\xff\"]\n"), "f").errors,
              ElementsAre("f:7: is not UTF-8 text"));
}

TEST(Manifests, AFileWithoutObjectsIsWarnedOf) {
  for (const char* text : {"", "# nothing yet\n", "---\n---\n"}) {
    const auto result = parse_manifests(text, "f");
    EXPECT_THAT(result.errors, IsEmpty());
    EXPECT_THAT(result.warnings, ElementsAre("f: has no objects"));
  }
}

TEST(Manifests, TooManyPodsAreRefused) {
  std::string yaml;
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    yaml += "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + std::string(name) +
            "}\nspec:\n  replicas: 256\n  selector: {matchLabels: {app: d}}\n"
            "  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c}]}}\n";
  }
  EXPECT_THAT(parse_manifests(yaml, "f").errors,
              ElementsAre("these are 1280 pods: at most 1024 are allowed"));
}

TEST(Manifests, AnchorsAndMergeKeysWork) {
  const auto result = parse_manifests(
      "x: 1\nkind: &k Pod\napiVersion: v1\nmetadata: &m {name: a, labels: &l {app: a}}\n"
      "spec: {containers: [{name: c}]}\n---\n"
      "kind: Pod\napiVersion: v1\nmetadata:\n  <<: {name: b, labels: {app: b}}\n  name: c\n"
      "spec: {containers: [{name: c}]}\n",
      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.manifests.pods[1].meta.name, "c");
  EXPECT_EQ(result.manifests.pods[1].meta.labels, (Labels{{"app", "b"}}));
}

TEST(Manifests, ListsAndJsonAreTaken) {
  const auto result = parse_manifests(
      R"({"kind":"List","apiVersion":"v1","items":[{"kind":"Pod","apiVersion":"v1",)"
      R"("metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}]})",
      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.manifests.pods.size(), 1U);
}

TEST(Manifests, ItemsOfAListMustBeThere) {
  const std::string list = "apiVersion: v1\nkind: List\n";
  EXPECT_THAT(parse_manifests(list + "items: 5\n", "f").errors,
              ElementsAre("f:3: List: items: must be a list, is 5"));
  EXPECT_THAT(parse_manifests(list, "f").errors, ElementsAre("f:1: List: items: is missing"));
}

TEST(Manifests, ADeploymentsNameMayBeAsLongAsAPods) {
  const std::string name(63, 'a');
  const std::string yaml = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name +
                           "}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: "
                           "{labels: {a: b}}, spec: {containers: [{name: c}]}}}\n";
  EXPECT_THAT(parse_manifests(yaml, "f").errors, IsEmpty());
}

class ManifestFiles : public ::testing::Test {
 protected:
  ManifestFiles() {
    std::string name = (fs::temp_directory_path() / "weir-manifests-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~ManifestFiles() override { fs::remove_all(root_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name) << text;
    return (root_ / name).string();
  }
  fs::path root_;
};

TEST_F(ManifestFiles, DirectoriesAreReadInOrderAndOnlyTheirYaml) {
  write("b.yaml", pod_with(""));
  write("a.yml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n");
  write("notes.txt", "{");
  const auto result = load_manifests({root_.string()});
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.manifests.pods[0].meta.place.to_string(), (root_ / "b.yaml").string() + ":1");
  EXPECT_EQ(result.manifests.namespaces.size(), 1U);
}

TEST_F(ManifestFiles, WhatCannotBeReadIsAnErrorEach) {
  const std::string good = write("a.yaml", pod_with(""));
  fs::create_directories(root_ / "empty");
  const auto result = load_manifests(
      {good, good, (root_ / "none.yaml").string(), (root_ / "empty").string(), "/dev/zero"});
  EXPECT_THAT(result.errors, ElementsAre(HasSubstr("is already defined at " + good + ":1"),
                                         HasSubstr("none.yaml: there is no such file or directory"),
                                         HasSubstr("empty: has no *.yaml, *.yml or *.json files"),
                                         HasSubstr("/dev/zero: is neither a file nor a pipe")));
}

TEST_F(ManifestFiles, APipeIsRead) {
  const std::string pipe = (root_ / "pipe").string();
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const std::string yaml = pod_with("");
  std::jthread writer([&] { std::ofstream(pipe) << yaml; });
  const auto result = load_manifests({pipe});
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_EQ(result.manifests.pods.size(), 1U);
}

TEST_F(ManifestFiles, StandardInputIsRead) {
  std::istringstream text(pod_with(""));
  std::streambuf* const before = std::cin.rdbuf(text.rdbuf());
  const auto result = load_manifests({"-"});
  std::cin.rdbuf(before);
  std::cin.clear();
  EXPECT_THAT(result.errors, IsEmpty());
  ASSERT_EQ(result.manifests.pods.size(), 1U);
  EXPECT_EQ(result.manifests.pods[0].meta.place.to_string(), "standard input:1");
}

TEST_F(ManifestFiles, AFileThatIsTooLargeIsNotReadWhole) {
  const std::string file = write("a.yaml", std::string((8U << 20) + 1, '#'));
  EXPECT_THAT(load_manifests({file}).errors, ElementsAre(file + ": is larger than 8 MiB"));
}

}  // namespace
}  // namespace weir
