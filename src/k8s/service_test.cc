// Services, EndpointSlices, and what Services need of Nodes and Pods, as the API server sends them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "k8s/json.h"
#include "k8s/object.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Address addr(const char* text) { return *Address::parse(text); }

template <typename T>
T read(const std::string& json, std::vector<std::string>* notes = nullptr) {
  const auto parsed = parse_object(json, notes);
  EXPECT_TRUE(parsed) << parsed.error().text();
  return parsed ? std::get<T>(*parsed) : T();
}

std::string service_with(const std::string& spec, const std::string& metadata = "") {
  return R"({"kind":"Service","metadata":{"name":"cart","namespace":"shop")" + metadata +
         R"(},"spec":{)" + spec + "}}";
}

std::string slice_with(const std::string& endpoint) {
  return R"({"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","addressType":"IPv4",
    "metadata":{"name":"cart-1","namespace":"shop","labels":{"kubernetes.io/service-name":"cart"}},
    "endpoints":[)" +
         endpoint + "]}";
}

TEST(Service, EveryFieldIsRead) {
  const auto service = read<Service>(R"({"apiVersion":"v1","kind":"Service","metadata":{
    "name":"cart","namespace":"shop","creationTimestamp":"2026-11-24T02:00:00Z",
    "annotations":{"weir.dev/node-local":"true","weir.dev/forwarding":"dsr","other":"x"},
    "labels":{"app":"cart"}},
    "spec":{"type":"LoadBalancer","clusterIP":"10.96.0.7","clusterIPs":["10.96.0.7","fd00:96::7"],
      "ipFamilies":["IPv4","IPv6"],"ipFamilyPolicy":"RequireDualStack",
      "externalIPs":["192.0.2.1"],"selector":{"app":"cart"},
      "ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":"web","nodePort":30080,
        "appProtocol":"http"},{"name":"quic","port":80,"protocol":"UDP","targetPort":0}],
      "loadBalancerSourceRanges":[" 10.0.0.0/8 ","2001:db8::/32"],
      "internalTrafficPolicy":"Local","externalTrafficPolicy":"Local","healthCheckNodePort":31000,
      "allocateLoadBalancerNodePorts":false,"publishNotReadyAddresses":true,
      "sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":42}},
      "trafficDistribution":"PreferSameNode"},
    "status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.1","ipMode":"VIP"},
      {"ip":"198.51.100.2","ipMode":"Proxy"},{"hostname":"lb.example"},{"ip":"2001:db8::1"}]}}})");
  Service expected;
  expected.namespace_ = "shop";
  expected.name = "cart";
  expected.created = 1795485600;
  expected.selector = {{"app", "cart"}};
  expected.ports = {{"http", Protocol::kTcp, 80, {0, "web"}, 30080},
                    {"quic", Protocol::kUdp, 80, {80, ""}, 0}};
  expected.cluster_ips = {addr("10.96.0.7"), addr("fd00:96::7")};
  expected.type = ServiceType::kLoadBalancer;
  expected.families = {Family::kIpv4, Family::kIpv6};
  expected.external_ips = {addr("192.0.2.1")};
  expected.ingress = {
      {addr("198.51.100.1"), false}, {addr("198.51.100.2"), true}, {addr("2001:db8::1"), false}};
  expected.source_ranges = {*Cidr::parse("10.0.0.0/8"), *Cidr::parse("2001:db8::/32")};
  expected.internal_policy = TrafficPolicy::kLocal;
  expected.external_policy = TrafficPolicy::kLocal;
  expected.health_check_port = 31000;
  expected.allocate_node_ports = false;
  expected.publish_not_ready = true;
  expected.affinity_seconds = 42;
  expected.distribution = TrafficDistribution::kPreferSameNode;
  expected.own_node_first = true;
  expected.dsr = true;
  EXPECT_EQ(service, expected) << to_json(service);
  EXPECT_EQ(read<Service>(to_json(service)), service);
}

TEST(Service, AbsentFieldsHaveTheApiServersDefaults) {
  const auto service = read<Service>(service_with(R"("ports":[{"port":80}])"));
  Service expected;
  expected.namespace_ = "shop";
  expected.name = "cart";
  expected.ports = {{"", Protocol::kTcp, 80, {80, ""}, 0}};
  EXPECT_EQ(service, expected);
  EXPECT_TRUE(service.allocate_node_ports);
  EXPECT_EQ(service.affinity_seconds, 0U);
  for (const char* config : {"", R"(,"sessionAffinityConfig":null)",
                             R"(,"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":null}})"}) {
    const auto sticky =
        read<Service>(service_with(R"("sessionAffinity":"ClientIP")" + std::string(config)));
    EXPECT_EQ(sticky.affinity_seconds, 10800U) << config;
  }
  EXPECT_EQ(read<Service>(service_with(R"("sessionAffinity":"None",
    "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":7}})"))
                .affinity_seconds,
            0U);
}

TEST(Service, TrafficDistributionIsAHintAndUnknownOnesAreNoted) {
  const struct {
    const char* word;
    TrafficDistribution expected;
    std::size_t notes;
  } cases[] = {
      {"PreferClose", TrafficDistribution::kPreferSameZone, 0},
      {"PreferSameZone", TrafficDistribution::kPreferSameZone, 0},
      {"PreferSameNode", TrafficDistribution::kPreferSameNode, 0},
      {"", TrafficDistribution::kNone, 0},
      {"PreferSameRack", TrafficDistribution::kNone, 1},
  };
  for (const auto& c : cases) {
    std::vector<std::string> notes;
    const auto service = read<Service>(
        service_with(R"("trafficDistribution":")" + std::string(c.word) + "\""), &notes);
    EXPECT_EQ(service.distribution, c.expected) << c.word;
    EXPECT_EQ(notes.size(), c.notes) << c.word;
  }
}

TEST(Service, TheLabelsOfOtherProxiesAreSeenWhateverTheirValue) {
  EXPECT_FALSE(read<Service>(service_with("", R"(,"labels":{"app":"x"})")).other_proxy);
  EXPECT_TRUE(read<Service>(service_with("", R"(,"labels":{
    "service.kubernetes.io/service-proxy-name":"haproxy"})"))
                  .other_proxy);
  EXPECT_TRUE(read<Service>(service_with("", R"(,"labels":{"service.kubernetes.io/headless":""})"))
                  .other_proxy);
}

TEST(Service, WrongAnnotationsOfWeirAreNotedAndHaveNoEffect) {
  std::vector<std::string> notes;
  const auto service = read<Service>(service_with("", R"(,"annotations":{
    "weir.dev/node-local":"yes","weir.dev/forwarding":"direct"})"),
                                     &notes);
  EXPECT_FALSE(service.own_node_first || service.dsr);
  EXPECT_THAT(notes,
              ElementsAre("Service shop/cart: metadata.annotations.weir.dev/node-local: must "
                          "be \"true\" or \"false\"; it is without effect",
                          "Service shop/cart: metadata.annotations.weir.dev/forwarding: must "
                          "be \"dsr\" or \"snat\"; it is without effect"));
}

TEST(Service, AnExternalNameHasNeitherAddressesNorPorts) {
  const auto service =
      read<Service>(service_with(R"("type":"ExternalName","externalName":"db.example.com")"));
  EXPECT_EQ(service.type, ServiceType::kExternalName);
  EXPECT_THAT(service.cluster_ips, IsEmpty());
  EXPECT_EQ(read<Service>(to_json(service)), service);
}

TEST(Service, AWrongFieldIsOneErrorThatNamesIt) {
  const struct {
    std::string spec;
    const char* error;
  } cases[] = {
      {R"("ipFamilies":["IPv5"])", "spec.ipFamilies[0]: must be IPv4 or IPv6"},
      {R"("externalIPs":["x"])", "spec.externalIPs[0]: 'x' is not an IPv4 or IPv6 address"},
      {R"("loadBalancerSourceRanges":["10.0.0.0/33"])", "spec.loadBalancerSourceRanges[0]: "},
      {R"("internalTrafficPolicy":"local")",
       "spec.internalTrafficPolicy: must be Cluster or Local"},
      {R"("externalTrafficPolicy":1)", "spec.externalTrafficPolicy: must be a string"},
      {R"("healthCheckNodePort":-1)", "spec.healthCheckNodePort: must be a number from 0 to 65535"},
      {R"("allocateLoadBalancerNodePorts":"no")",
       "spec.allocateLoadBalancerNodePorts: must be true or false"},
      {R"("publishNotReadyAddresses":0)", "spec.publishNotReadyAddresses: must be true or false"},
      {R"("sessionAffinity":"Cookie")", "spec.sessionAffinity: must be ClientIP or None"},
      {R"("sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}})",
       "spec.sessionAffinityConfig.clientIP.timeoutSeconds: must be a number from 1 to 86400"},
      {R"("trafficDistribution":{})", "spec.trafficDistribution: must be a string"},
      {R"("clusterIPs":["10.96.0.1","None"])", "spec.clusterIPs: None stands alone"},
      {R"("type":"NodePorts")",
       "spec.type: must be ClusterIP, NodePort, LoadBalancer or ExternalName"},
      {R"("ports":[{"port":80,"nodePort":65536}])",
       "spec.ports[0].nodePort: must be a number from 0 to 65535"},
      {R"("ports":[{"port":0}])", "spec.ports[0].port: must be a number from 1 to 65535"},
      {R"("ports":[{"port":80,"protocol":"tcp"}])",
       "spec.ports[0].protocol: must be TCP, UDP or SCTP"},
      {R"("ports":[{"port":80,"targetPort":65536}])",
       "spec.ports[0].targetPort: must be a number from 0 to 65535"},
      {R"("ports":[]},"status":{"loadBalancer":{"ingress":[{"ip":"lb"}]})",
       "status.loadBalancer.ingress[0].ip: 'lb' is not an IPv4 or IPv6 address"},
      {R"("ports":[]},"status":{"loadBalancer":{"ingress":[{"ip":"::1","ipMode":"DSR"}]})",
       "status.loadBalancer.ingress[0].ipMode: must be VIP or Proxy"},
  };
  for (const auto& c : cases) {
    const auto parsed = parse_object(service_with(c.spec));
    ASSERT_FALSE(parsed) << c.spec;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid);
    EXPECT_THAT(parsed.error().text(),
                ::testing::StartsWith("Service shop/cart: " + std::string(c.error)));
  }
  const auto born = parse_object(service_with("", R"(,"creationTimestamp":"yesterday")"));
  ASSERT_FALSE(born);
  EXPECT_EQ(born.error().text(),
            "Service shop/cart: metadata.creationTimestamp: must be a time like "
            "2026-11-24T02:00:00Z");
}

TEST(EndpointSlice, EveryFieldIsRead) {
  const auto slice = read<EndpointSlice>(R"({"apiVersion":"discovery.k8s.io/v1",
    "kind":"EndpointSlice","addressType":"IPv6","metadata":{"name":"cart-abc","namespace":"shop",
      "labels":{"kubernetes.io/service-name":"cart","endpointslice.kubernetes.io/managed-by":"x"}},
    "ports":[{"name":"http","port":8080,"protocol":"TCP"},{"port":53,"protocol":"UDP"},{"name":"all"}],
    "endpoints":[{"addresses":["fd00::3"],"conditions":{"ready":false,"serving":true,
      "terminating":true},"nodeName":"n0","zone":"a","hostname":"cart-0",
      "hints":{"forZones":[{"name":"a"},{"name":"b"}],"forNodes":[{"name":"n0"}]},
      "targetRef":{"kind":"Pod","name":"cart-0","namespace":"shop","uid":"1"}},
     {"addresses":["fd00::4"],"targetRef":{"kind":"VM","name":"x"}},
     {"addresses":["fd00::5"],"targetRef":{"kind":"Pod","name":"y","namespace":"other"}}]})");
  EndpointSlice expected;
  expected.namespace_ = "shop";
  expected.name = "cart-abc";
  expected.service = "cart";
  expected.family = Family::kIpv6;
  expected.ports = {
      {"http", Protocol::kTcp, 8080}, {"", Protocol::kUdp, 53}, {"all", Protocol::kTcp, 0}};
  SliceEndpoint leaving;
  leaving.addresses = {addr("fd00::3")};
  leaving.ready = false;
  leaving.terminating = true;
  leaving.node = "n0";
  leaving.zone = "a";
  leaving.hinted_zones = {"a", "b"};
  leaving.hinted_nodes = {"n0"};
  leaving.pod = "cart-0";
  SliceEndpoint bare;
  bare.addresses = {addr("fd00::4")};
  SliceEndpoint foreign;
  foreign.addresses = {addr("fd00::5")};
  expected.endpoints = {leaving, bare, foreign};
  EXPECT_EQ(slice, expected) << to_json(slice);
  EXPECT_EQ(read<EndpointSlice>(to_json(slice)), slice);
}

TEST(EndpointSlice, UnknownConditionsAreReadyServingAndNotTerminating) {
  for (const char* conditions :
       {"", R"(,"conditions":{})", R"(,"conditions":{"ready":null,"serving":null})"}) {
    const auto slice = read<EndpointSlice>(
        slice_with(R"({"addresses":["10.0.0.1"])" + std::string(conditions) + "}"));
    const SliceEndpoint& endpoint = slice.endpoints.at(0);
    EXPECT_TRUE(endpoint.ready && endpoint.serving && !endpoint.terminating) << conditions;
  }
}

TEST(EndpointSlice, EndpointsWithoutAddressesAreNotedAndLeftOut) {
  std::vector<std::string> notes;
  const auto slice = read<EndpointSlice>(
      slice_with(R"({"addresses":[]},{"addresses":["10.0.0.1"]},{"conditions":{}})"), &notes);
  ASSERT_EQ(slice.endpoints.size(), 1U);
  EXPECT_THAT(notes, ElementsAre("EndpointSlice shop/cart-1: endpoints[0].addresses: is empty: the "
                                 "endpoint is not used",
                                 "EndpointSlice shop/cart-1: endpoints[2].addresses: is empty: the "
                                 "endpoint is not used"));
}

TEST(EndpointSlice, ThoseOfHeadlessServicesAndOtherProxiesAreOfNoService) {
  for (const char* label :
       {"service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"}) {
    const auto slice = read<EndpointSlice>(
        R"({"kind":"EndpointSlice","addressType":"IPv4","metadata":{"name":"a","namespace":"b",
        "labels":{"kubernetes.io/service-name":"cart",")" +
        std::string(label) + R"(":""}}})");
    EXPECT_EQ(slice.service, "") << label;
  }
}

TEST(EndpointSlice, NamesAreNotAddresses) {
  const auto slice = read<EndpointSlice>(R"({"kind":"EndpointSlice","addressType":"FQDN",
    "metadata":{"name":"a","namespace":"b","labels":{"kubernetes.io/service-name":"cart"}},
    "endpoints":[{"addresses":["db.example.com"]}]})");
  EXPECT_EQ(slice.service, "");
  EXPECT_THAT(slice.endpoints, IsEmpty());
}

TEST(EndpointSlice, AWrongFieldIsOneErrorThatNamesIt) {
  const struct {
    std::string json;
    const char* error;
  } cases[] = {
      {slice_with(R"({"addresses":["fd00::1"]})"),
       "endpoints[0].addresses[0]: must be of the slice's addressType"},
      {slice_with(R"({"addresses":["10.0.0"]})"),
       "endpoints[0].addresses[0]: '10.0.0' is not an IPv4 or IPv6 address"},
      {slice_with(R"({"addresses":["10.0.0.1"],"conditions":{"ready":"True"}})"),
       "endpoints[0].conditions.ready: must be true or false"},
      {slice_with(R"({"addresses":["10.0.0.1"],"hints":{"forZones":["a"]}})"),
       "endpoints[0].hints.forZones[0]: must be an object"},
      {R"({"kind":"EndpointSlice","metadata":{"name":"cart-1","namespace":"shop"}})",
       "addressType: must be IPv4, IPv6 or FQDN"},
      {R"({"kind":"EndpointSlice","metadata":{"name":"cart-1","namespace":"shop"},
        "addressType":"IPv4","ports":[{"port":65536}]})",
       "ports[0].port: must be a number from 0 to 65535"},
  };
  for (const auto& c : cases) {
    const auto parsed = parse_object(c.json);
    ASSERT_FALSE(parsed) << c.json;
    EXPECT_EQ(parsed.error().text(), "EndpointSlice shop/cart-1: " + std::string(c.error));
  }
}

TEST(Node, ZoneAndLeaveAreRead) {
  const auto node = read<Node>(R"({"kind":"Node","metadata":{"name":"n0","labels":{
    "topology.kubernetes.io/zone":"a"}},"spec":{"taints":[{"key":"x","effect":"NoSchedule"}]}})");
  EXPECT_EQ(node.zone, "a");
  EXPECT_FALSE(node.leaving);
  EXPECT_TRUE(read<Node>(R"({"kind":"Node","metadata":{"name":"n0"},"spec":{"taints":[
    {"key":"x"},{"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}]}})")
                  .leaving);
  EXPECT_TRUE(read<Node>(R"({"kind":"Node","metadata":{"name":"n0",
    "deletionTimestamp":"2026-11-24T02:00:00Z"}})")
                  .leaving);
}

std::string pod_with(const std::string& spec, const std::string& metadata = "") {
  return R"({"kind":"Pod","metadata":{"name":"web","namespace":"shop")" + metadata +
         R"(},"spec":{)" + spec + "}}";
}

TEST(Pod, HostPortsOfContainersAndSidecarsAreRead) {
  const auto pod = read<Pod>(pod_with(R"("containers":[{"ports":[{"containerPort":80,
      "hostPort":8080,"hostIP":"172.30.0.10"},{"containerPort":81},
      {"containerPort":53,"hostPort":53,"protocol":"UDP","hostIP":"0.0.0.0"}]}],
    "initContainers":[{"ports":[{"containerPort":1,"hostPort":1}]},
      {"restartPolicy":"Always","ports":[{"containerPort":2,"hostPort":3,"hostIP":""}]}])"));
  EXPECT_THAT(pod.host_ports, ElementsAre(HostPort{Protocol::kTcp, 8080, 80, addr("172.30.0.10")},
                                          HostPort{Protocol::kUdp, 53, 53, addr("0.0.0.0")},
                                          HostPort{Protocol::kTcp, 3, 2, Address()}));
  EXPECT_EQ(read<Pod>(to_json(pod)), pod);
  EXPECT_THAT(read<Pod>(pod_with(R"("hostNetwork":true,"containers":[{"ports":[
    {"containerPort":80,"hostPort":80}]}])"))
                  .host_ports,
              IsEmpty());
}

TEST(Pod, WeightIsAnAnnotationAndAWrongOneIsNotedAndOne) {
  const struct {
    const char* text;
    std::uint32_t weight;
    bool noted;
  } cases[] = {{"1", 1, false}, {"256", 256, false}, {"0", 1, true},  {"257", 1, true},
               {"-1", 1, true}, {"", 1, true},       {"7x", 1, true}, {"70", 70, false}};
  for (const auto& c : cases) {
    std::vector<std::string> notes;
    const auto pod = read<Pod>(
        pod_with("", R"(,"annotations":{"weir.dev/weight":")" + std::string(c.text) + "\"}"),
        &notes);
    EXPECT_EQ(pod.weight, c.weight) << c.text;
    EXPECT_EQ(!notes.empty(), c.noted) << c.text;
    EXPECT_EQ(read<Pod>(to_json(pod)), pod);
  }
}

TEST(Pod, AWrongHostPortIsOneErrorThatNamesIt) {
  const auto text = [](const std::string& port) {
    const auto parsed = parse_object(pod_with(R"("containers":[{"ports":[{)" + port + "}]}]"));
    return parsed ? std::string() : parsed.error().text();
  };
  EXPECT_EQ(text(R"("containerPort":80,"hostPort":65536)"),
            "Pod shop/web: spec.containers[0].ports[0].hostPort: must be a number from 0 to 65535");
  EXPECT_EQ(text(R"("hostPort":80)"),
            "Pod shop/web: spec.containers[0].ports[0].containerPort: is missing");
  EXPECT_EQ(
      text(R"("containerPort":80,"hostPort":80,"hostIP":"n0")"),
      "Pod shop/web: spec.containers[0].ports[0].hostIP: 'n0' is not an IPv4 or IPv6 address");
}

}  // namespace
}  // namespace weir
