#include "k8s/object.h"

#include <gtest/gtest.h>

#include <chrono>

#include "k8s/json.h"

namespace weir {
namespace {

Address addr(const char* text) { return *Address::parse(text); }

Pod full_pod() {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = "cart-0";
  pod.uid = "6f1c";
  pod.node = "n0";
  pod.labels = {{"app", "cart"}, {"app.kubernetes.io/part-of", "shop \"x\"\n"}};
  pod.addresses = {addr("10.244.0.3"), addr("fd00::3")};
  pod.phase = PodPhase::kRunning;
  pod.ready = true;
  pod.host_network = true;
  pod.terminating = true;
  pod.workload = "cart";
  return pod;
}

Pod full_pod_elsewhere() {
  Pod pod = full_pod();
  pod.host_network = false;
  pod.weight = 3;
  return pod;
}

Service full_service() {
  Service service;
  service.namespace_ = "shop";
  service.name = "cart";
  service.selector = {{"app", "cart"}};
  service.ports = {{"http", Protocol::kTcp, 80, {8080, ""}, 30080},
                   {"dns", Protocol::kUdp, 53, {0, "dns"}, 0}};
  service.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
  service.type = ServiceType::kNodePort;
  return service;
}

TEST(Object, JsonReadsBackToTheSameValue) {
  Service headless;
  headless.namespace_ = "shop";
  headless.name = "db";
  headless.headless = true;
  Pod bare;
  bare.namespace_ = "default";
  bare.name = "bare";
  const PodEndpoint told = *pod_endpoint_of(full_pod_elsewhere());
  const Object objects[] = {
      told,
      Node{"n0", {addr("172.30.0.10"), addr("fd02::10")}, {*Cidr::parse("10.244.0.0/24")}},
      Node{"empty", {}, {}},
      Namespace{"shop", {{"team", "a"}}},
      Namespace{"bare", {}},
      full_pod(),
      bare,
      full_service(),
      headless,
  };
  for (const Object& object : objects) {
    const auto parsed = parse_object(to_json(object));
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_EQ(*parsed, object) << to_json(object);
  }
}

TEST(Object, TakesAPodAsARealApiServerSendsIt) {
  const auto parsed = parse_object(R"({"apiVersion":"v1","kind":"Pod","metadata":{
    "annotations":{"a":"b"},"creationTimestamp":"2026-11-24T02:00:00Z","deletionTimestamp":null,
    "generateName":"cart-5d9f7c6b8-","labels":{"app":"x","pod-template-hash":"5d9f7c6b8"},
    "managedFields":[{"fieldsV1":{"f:metadata":{}}}],"name":"cart-5d9f7c6b8-x2x4q",
    "namespace":"shop","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,
      "controller":true,"kind":"ReplicaSet","name":"cart-5d9f7c6b8","uid":"1"}],"uid":"9"},
    "spec":{"containers":[{"name":"c","image":"x"}],"hostNetwork":null,"nodeName":"n0"},
    "status":{"conditions":[{"type":"Initialized","status":"True"},{"type":"Ready","status":"True"}],
      "phase":"Running","podIP":"10.244.0.3","podIPs":[{"ip":"10.244.0.3"}]}})");
  ASSERT_TRUE(parsed) << parsed.error().text();
  const Pod& pod = std::get<Pod>(*parsed);
  EXPECT_EQ(pod.workload, "cart");
  EXPECT_EQ(pod.addresses, std::vector{addr("10.244.0.3")});
  EXPECT_TRUE(pod.ready);
  EXPECT_FALSE(pod.terminating);
}

TEST(Object, OnlyInternalAddressesOfANodeCount) {
  const auto parsed = parse_object(R"({"kind":"Node","metadata":{"name":"n0"},
    "spec":{"podCIDR":"10.244.0.0/24"},"status":{"addresses":[
      {"type":"Hostname","address":"n0"},{"type":"InternalIP","address":"172.30.0.10"},
      {"type":"ExternalIP","address":"8.8.8.8"}]}})");
  ASSERT_TRUE(parsed) << parsed.error().text();
  const Node& node = std::get<Node>(*parsed);
  EXPECT_EQ(node.addresses, std::vector{addr("172.30.0.10")});
  EXPECT_EQ(node.pod_cidrs, std::vector{*Cidr::parse("10.244.0.0/24")});
}

TEST(Object, WrongInputIsOneErrorThatNamesObjectAndField) {
  const struct {
    const char* json;
    const char* error;
  } cases[] = {
      {"", "not JSON: "},
      {"{\"kind\":\"Pod\",\"meta", "not JSON: "},
      {"[]", "object: must be an object"},
      {"3", "object: must be an object"},
      {R"({"kind":7})", "kind: must be a string"},
      {R"({})", "kind: must be Node, Namespace, Pod, Service, EndpointSlice or PodEndpoint, is ''"},
      {R"({"kind":"PodList"})",
       "kind: must be Node, Namespace, Pod, Service, EndpointSlice or PodEndpoint, is 'PodList'"},
      {R"({"kind":"Pod"})", "Pod : metadata.name: is missing"},
      {R"({"kind":"Pod","metadata":{"name":"a"}})", "Pod a: metadata.namespace: is missing"},
      {R"({"kind":"Node","metadata":{"name":"a","namespace":"b"}})",
       "Node a: metadata.namespace: a Node has none"},
      {R"({"kind":"Node","metadata":{"name":"../a"}})",
       "Node ../a: metadata.name: must have no '/'"},
      {R"({"kind":"Node","metadata":{"name":"a\u001b[2Jb"}})",
       "Node a?[2Jb: metadata.name: must have no control characters"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b"},"spec":{"nodeName":[]}})",
       "Pod b/a: spec.nodeName: must be a string"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b"},"spec":[]})",
       "Pod b/a: spec: must be an object"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b","labels":{"x":1}}})",
       "Pod b/a: metadata.labels.x: must be a string"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b"},"status":{"podIPs":[{"ip":"1.2"}]}})",
       "Pod b/a: status.podIPs[0].ip: '1.2' is not an IPv4 or IPv6 address"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b"},"status":{"podIPs":{}}})",
       "Pod b/a: status.podIPs: must be a list"},
      {R"({"kind":"Pod","metadata":{"name":"a","namespace":"b"},"status":{"phase":"Gone"}})",
       "Pod b/a: status.phase: must be Pending, Running, Succeeded, Failed or Unknown"},
      {R"({"kind":"Service","metadata":{"name":"a","namespace":"b"},"spec":{"ports":[{"port":70000}]}})",
       "Service b/a: spec.ports[0].port: must be a number from 1 to 65535"},
      {R"({"kind":"Service","metadata":{"name":"a","namespace":"b"},"spec":{"ports":[{}]}})",
       "Service b/a: spec.ports[0].port: is missing"},
  };
  for (const auto& c : cases) {
    const auto parsed = parse_object(c.json);
    ASSERT_FALSE(parsed) << c.json;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
    EXPECT_EQ(parsed.error().text().substr(0, std::string(c.error).size()), c.error) << c.json;
  }
}

// Each of these took minutes, or megabytes of a message, where it costs more than its size.
TEST(Object, AbsurdSizesCostNoMoreThanTheirSize) {
  const std::string huge(4U << 20, 'x');
  std::string labels;
  std::string endpoints;
  for (int i = 0; i < 200000; ++i) {
    labels += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"v\"";
    endpoints += i == 0 ? R"({"addresses":[]})" : R"(,{"addresses":[]})";
  }
  const auto start = std::chrono::steady_clock::now();
  const auto many =
      parse_object(R"({"kind":"Namespace","metadata":{"name":"a","labels":{)" + labels + "}}}");
  ASSERT_TRUE(many);
  EXPECT_EQ(std::get<Namespace>(*many).labels.size(), 200000U);
  std::vector<std::string> notes;
  EXPECT_TRUE(parse_object(R"({"kind":"EndpointSlice","addressType":"IPv4","metadata":{"name":"a",
      "namespace":"b"},"endpoints":[)" +
                               endpoints + "]}",
                           &notes));
  EXPECT_EQ(notes.size(), 10U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  for (const std::string& json :
       {R"({"kind":")" + huge + R"("})", R"({"kind":"Node","metadata":{"name":")" + huge + R"("}})",
        R"({"kind":"Namespace","metadata":{"name":"a","labels":{")" + huge + R"(":1}}})",
        R"({"kind":"Service","metadata":{"name":"a","namespace":"b"},"spec":{"externalIPs":[")" +
            huge + R"("]}})"}) {
    const auto parsed = parse_object(json);
    ASSERT_FALSE(parsed) << json.substr(0, 80);
    EXPECT_LT(parsed.error().text().size(), 2000U);
  }
}

}  // namespace
}  // namespace weir
