// Services and EndpointSlices as people write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "k8s/json.h"
#include "k8s/manifests.h"
#include "k8s/object.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Address addr(const char* text) { return *Address::parse(text); }

std::string service_with(const std::string& spec, const std::string& metadata = "") {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: cart" + metadata + "}\nspec: {" + spec +
         "}\n";
}

std::string slice_with(const std::string& rest, const std::string& type = "IPv4") {
  return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
         "metadata: {name: cart-1, labels: {kubernetes.io/service-name: cart}}\naddressType: " +
         type + "\n" + rest;
}

ServiceManifest read_service(const std::string& yaml) {
  auto result = parse_manifests(yaml, "f");
  EXPECT_THAT(result.errors, IsEmpty()) << yaml;
  EXPECT_THAT(result.warnings, IsEmpty()) << yaml;
  return result.manifests.services.empty() ? ServiceManifest() : result.manifests.services[0];
}

constexpr const char* kBalancer = R"(apiVersion: v1
kind: Service
metadata:
  name: cart
  creationTimestamp: 2026-11-24T02:00:00Z
  labels: {service.kubernetes.io/service-proxy-name: other}
  annotations: {weir.dev/node-local: "true", weir.dev/forwarding: dsr}
spec:
  type: LoadBalancer
  clusterIP: fd00:96::7
  clusterIPs: [fd00:96::7, 10.96.0.7]
  ipFamilies: [IPv6, IPv4]
  ipFamilyPolicy: RequireDualStack
  externalIPs: [192.0.2.1]
  loadBalancerIP: 198.51.100.9
  loadBalancerSourceRanges: [" 10.0.0.0/8", "2001:db8::/32"]
  internalTrafficPolicy: Local
  externalTrafficPolicy: Local
  healthCheckNodePort: 31000
  allocateLoadBalancerNodePorts: false
  publishNotReadyAddresses: true
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 42}}
  trafficDistribution: PreferSameNode
  selector: {app: cart}
  ports:
    - {name: http, port: 80, targetPort: web, nodePort: 30080}
    - {name: quic, port: 80, protocol: UDP, nodePort: 30080}
status: {loadBalancer: {ingress: [{ip: 198.51.100.9, ipMode: Proxy}, {ip: "2001:db8::1"}]}}
)";

TEST(ServiceManifest, EveryFieldIsRead) {
  const ServiceManifest manifest = read_service(kBalancer);
  Service expected;
  expected.namespace_ = "default";
  expected.name = "cart";
  expected.created = 1795485600;
  expected.selector = {{"app", "cart"}};
  expected.ports = {{"http", Protocol::kTcp, 80, {0, "web"}, 30080},
                    {"quic", Protocol::kUdp, 80, {80, ""}, 30080}};
  expected.cluster_ips = {addr("fd00:96::7"), addr("10.96.0.7")};
  expected.type = ServiceType::kLoadBalancer;
  expected.families = {Family::kIpv6, Family::kIpv4};
  expected.external_ips = {addr("192.0.2.1")};
  expected.ingress = {{addr("198.51.100.9"), true}, {addr("2001:db8::1"), false}};
  expected.source_ranges = {*Cidr::parse("10.0.0.0/8"), *Cidr::parse("2001:db8::/32")};
  expected.internal_policy = TrafficPolicy::kLocal;
  expected.external_policy = TrafficPolicy::kLocal;
  expected.health_check_port = 31000;
  expected.allocate_node_ports = false;
  expected.publish_not_ready = true;
  expected.affinity_seconds = 42;
  expected.distribution = TrafficDistribution::kPreferSameNode;
  expected.other_proxy = true;
  expected.own_node_first = true;
  expected.dsr = true;
  EXPECT_EQ(manifest.service, expected) << to_json(manifest.service);
  EXPECT_EQ(manifest.family_policy, FamilyPolicy::kRequireDualStack);
  EXPECT_EQ(manifest.balancer_ip, addr("198.51.100.9"));
}

TEST(ServiceManifest, WhatIsAbsentIsAsTheApiServerHasIt) {
  const ServiceManifest manifest = read_service(service_with("ports: [{port: 80}]"));
  Service expected;
  expected.namespace_ = "default";
  expected.name = "cart";
  expected.ports = {{"", Protocol::kTcp, 80, {80, ""}, 0}};
  EXPECT_EQ(manifest.service, expected);
  EXPECT_EQ(manifest.family_policy, std::nullopt);
  EXPECT_EQ(manifest.balancer_ip, std::nullopt);
  const auto sticky = read_service(service_with("ports: [{port: 80}], sessionAffinity: ClientIP"));
  EXPECT_EQ(sticky.service.affinity_seconds, 10800U);
}

TEST(ServiceManifest, HeadlessOnesAndExternalNamesAreTaken) {
  const auto headless = read_service(service_with("clusterIP: None, clusterIPs: [None]"));
  EXPECT_TRUE(headless.service.headless);
  EXPECT_THAT(headless.service.cluster_ips, IsEmpty());
  const auto name = read_service(
      service_with("type: ExternalName, externalName: db.example.com., clusterIP: ''"));
  EXPECT_EQ(name.external_name, "db.example.com.");
  EXPECT_EQ(name.service.type, ServiceType::kExternalName);
}

// What `weir up` writes down, it reads again.
TEST(ServiceManifest, ObjectsAsWrittenAreManifests) {
  const std::string specs[] = {
      "ports: [{port: 80}]",
      "type: NodePort, ports: [{port: 80, nodePort: 30080}]",
      "type: ExternalName, externalName: a.b",
      "clusterIP: None",
      "externalIPs: [192.0.2.1], ports: [{port: 80}]",
      "type: LoadBalancer, ports: [{port: 80}], trafficDistribution: PreferClose",
  };
  for (const std::string& spec : specs) {
    const Service service = read_service(service_with(spec)).service;
    const auto object = parse_object(to_json(service));
    ASSERT_TRUE(object) << object.error().text();
    EXPECT_EQ(std::get<Service>(*object), service);
    if (service.type == ServiceType::kExternalName) continue;  // the name is the manifest's only
    EXPECT_EQ(read_service(to_json(service)).service, service);
  }
  const Service balancer = read_service(kBalancer).service;
  EXPECT_EQ(std::get<Service>(*parse_object(to_json(balancer))), balancer);
}

TEST(ServiceManifest, EachErrorNamesFileLineObjectAndField) {
  const std::string p = "ports: [{port: 80}], ";
  const struct {
    std::string yaml;
    std::string error;
  } cases[] = {
      {service_with("selector: {a: b}"), "f:4: Service default/cart: spec: ports is missing"},
      {service_with(p + "ipFamilies: [IPv5]"),
       "f:4: Service default/cart: spec.ipFamilies[0]: must be IPv4 or IPv6, is 'IPv5'"},
      {service_with(p + "ipFamilies: [IPv4, IPv4], ipFamilyPolicy: PreferDualStack"),
       "spec.ipFamilies: a family is there twice"},
      {service_with(p + "ipFamilies: [IPv4, IPv6, IPv4]"),
       "spec.ipFamilies: must be at most IPv4 and IPv6"},
      {service_with(p + "ipFamilies: [IPv4, IPv6]"),
       "spec.ipFamilies: two families want ipFamilyPolicy: PreferDualStack or RequireDualStack"},
      {service_with(p + "clusterIPs: [10.96.0.1, 'fd00::1']"),
       "spec.clusterIPs: two families want ipFamilyPolicy"},
      {service_with(p + "clusterIPs: [10.96.0.1, 10.96.0.2], ipFamilyPolicy: PreferDualStack"),
       "spec.clusterIPs: must be at most one per family"},
      {service_with(p + "clusterIPs: [10.96.0.1, None]"), "spec.clusterIPs: None stands alone"},
      {service_with(p + "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.2]"),
       "spec.clusterIP: must be the first of clusterIPs, is '10.96.0.1'"},
      {service_with(p + "clusterIP: None, clusterIPs: [10.96.0.2]"),
       "spec.clusterIP: must be the first of clusterIPs, is 'None'"},
      {service_with(p + "clusterIP: 10.96.0.1, ipFamilies: [IPv6]"),
       "spec.clusterIP: 10.96.0.1 is not of the family that ipFamilies has in its place"},
      {service_with(p + "ipFamilyPolicy: Dual"),
       "must be SingleStack or PreferDualStack or RequireDualStack, is 'Dual'"},
      {service_with(p + "externalIPs: [127.0.0.1]"),
       "spec.externalIPs[0]: must be an address that others can reach, is '127.0.0.1'"},
      {service_with(p + "externalIPs: ['fe80::1']"), "must be an address that others can reach"},
      {service_with(p + "externalIPs: [host]"), "spec.externalIPs[0]: must be an address, is"},
      {service_with(p + "externalIPs: [null]"),
       "spec.externalIPs[0]: must be an address, is empty"},
      {service_with(p + "loadBalancerSourceRanges: [10.0.0.0/8]"),
       "spec.loadBalancerSourceRanges: wants type: LoadBalancer"},
      {service_with(p + "type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0]"),
       "spec.loadBalancerSourceRanges[0]: must be a range like 10.0.0.0/8, is '10.0.0.0'"},
      {service_with(p + "type: NodePort, allocateLoadBalancerNodePorts: false"),
       "spec.allocateLoadBalancerNodePorts: wants type: LoadBalancer"},
      {service_with(p + "externalTrafficPolicy: Local"),
       "spec.externalTrafficPolicy: wants type: NodePort or LoadBalancer, or externalIPs"},
      {service_with(p + "type: NodePort, healthCheckNodePort: 31000"),
       "spec.healthCheckNodePort: wants type: LoadBalancer and externalTrafficPolicy: Local"},
      {service_with(p + "type: LoadBalancer, clusterIP: None"),
       "spec.clusterIP: None wants type: ClusterIP"},
      {service_with(p + "sessionAffinity: Cookie"), "must be ClientIP or None, is 'Cookie'"},
      {service_with(p + "sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}"),
       "spec.sessionAffinityConfig: wants sessionAffinity: ClientIP"},
      {service_with(p + "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: "
                        "{timeoutSeconds: 86401}}"),
       "sessionAffinityConfig.clientIP.timeoutSeconds: must be 1 to 86400, is 86401"},
      {service_with(p + "trafficDistribution: PreferFar"),
       "must be PreferSameZone or PreferSameNode or PreferClose, is 'PreferFar'"},
      {service_with(p + "publishNotReadyAddresses: 'true'"), "must be true or false, is 'true'"},
      {service_with("ports: [{port: 80, nodePort: 30080}]"),
       "spec.ports[0]: nodePort wants type: NodePort or LoadBalancer"},
      {service_with("type: NodePort, ports: [{name: a, port: 80, nodePort: 30080}, "
                    "{name: b, port: 81, nodePort: 30080}]"),
       "spec.ports[1]: nodePort 30080/TCP is there twice"},
      {service_with("ports: [{name: a, port: 80}, {name: b, port: 80}]"),
       "spec.ports[1]: port 80/TCP is there twice"},
      {service_with("ports: [{name: a, port: 80}, {name: a, port: 81}]"),
       "another port is named 'a'"},
      {service_with("ports: [{port: 80, targetPort: '80'}]"), "targetPort: must have a letter"},
      {service_with("type: ExternalName"), "spec: externalName is missing"},
      {service_with("type: ExternalName, externalName: 'a..b'"),
       "spec.externalName: must be a domain name, is 'a..b'"},
      {service_with("type: ExternalName, externalName: a, clusterIP: 10.96.0.1"),
       "spec.clusterIP: may not stand beside type: ExternalName"},
      {service_with(p, ", annotations: {weir.dev/node-local: maybe}"),
       "f:3: Service default/cart: metadata.annotations.weir.dev/node-local: must be true or "
       "false"},
      {service_with(p, ", annotations: {weir.dev/forwarding: ipip}"), "must be dsr or snat"},
      {service_with(p, ", creationTimestamp: yesterday"),
       "metadata.creationTimestamp: must be a time like 2026-11-24T02:00:00Z, is 'yesterday'"},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: 1st}\nspec: {ports: [{port: 80}]}\n",
       "the Service's name must begin with a letter, is '1st'"},
      {service_with(p) + "status: {loadBalancer: {ingress: [{ip: 10.0.0.1, ipMode: DSR}]}}\n",
       "status.loadBalancer.ingress[0].ipMode: must be VIP or Proxy, is 'DSR'"},
      {"apiVersion: v1\nkind: Service\nmetadata: {name: cart}\n", "spec: is missing"},
  };
  for (const auto& c : cases) {
    const auto result = parse_manifests(c.yaml, "f");
    ASSERT_FALSE(result.errors.empty()) << c.yaml;
    EXPECT_THAT(result.errors[0], HasSubstr(c.error)) << c.yaml;
    EXPECT_EQ(result.errors.size(), 1U) << c.yaml << result.errors.back();
  }
}

TEST(EndpointSliceManifest, EveryFieldIsRead) {
  const auto result = parse_manifests(slice_with(R"(endpoints:
  - addresses: [10.244.0.3]
    conditions: {ready: false, serving: true, terminating: true}
    nodeName: n0
    zone: a
    hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: n0}]}
    targetRef: {kind: Pod, name: cart-0, namespace: default}
  - addresses: [10.244.0.4, 10.244.0.5]
ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]
)"),
                                      "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, IsEmpty());
  ASSERT_EQ(result.manifests.slices.size(), 1U);
  const EndpointSliceManifest& manifest = result.manifests.slices[0];
  EXPECT_EQ(manifest.meta.key().to_string(), "default/cart-1");
  const EndpointSlice slice = to_model(manifest);
  EXPECT_EQ(slice.service, "cart");
  EXPECT_EQ(slice.family, Family::kIpv4);
  ASSERT_EQ(slice.endpoints.size(), 2U);
  const SliceEndpoint& leaving = slice.endpoints[0];
  EXPECT_TRUE(!leaving.ready && leaving.serving && leaving.terminating);
  EXPECT_EQ(leaving.node + leaving.zone + leaving.pod, "n0acart-0");
  EXPECT_THAT(leaving.hinted_zones, ElementsAre("a", "b"));
  EXPECT_THAT(leaving.hinted_nodes, ElementsAre("n0"));
  EXPECT_TRUE(slice.endpoints[1].ready && slice.endpoints[1].serving);
  EXPECT_THAT(slice.ports, ElementsAre(SlicePort{"http", Protocol::kTcp, 8080},
                                       SlicePort{"dns", Protocol::kUdp, 53}));
  const auto object = parse_object(to_json(slice));
  ASSERT_TRUE(object) << object.error().text();
  EXPECT_EQ(std::get<EndpointSlice>(*object), slice);
}

TEST(EndpointSliceManifest, AServiceMayHaveFiveThousandEndpoints) {
  std::string yaml;
  for (int slice = 0; slice < 5; ++slice) {
    yaml +=
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
        "metadata: {name: cart-" +
        std::to_string(slice) +
        ", labels: {kubernetes.io/service-name: cart}}\nports: [{port: 8080}]\nendpoints:\n";
    for (int i = 0; i < 1000; ++i) {
      yaml +=
          "  - {addresses: [" + Address::v4(0x0a000001).plus(slice * 1000 + i).to_string() +
          "], conditions: {ready: true}, nodeName: n0, zone: a, targetRef: {kind: Pod, name: p" +
          std::to_string(i) + "}}\n";
    }
  }
  const auto result = parse_manifests(yaml, "f");
  EXPECT_THAT(result.errors, IsEmpty());
  std::size_t endpoints = 0;
  for (const auto& slice : result.manifests.slices) endpoints += slice.slice.endpoints.size();
  EXPECT_EQ(endpoints, 5000U);
}

TEST(EndpointSliceManifest, SlicesOfNamesAreIgnoredAndSaidToBe) {
  const auto result = parse_manifests(slice_with("endpoints: [{addresses: [a.b]}]\n", "FQDN"), "f");
  EXPECT_THAT(result.errors, IsEmpty());
  EXPECT_THAT(result.warnings, ElementsAre("f:4: EndpointSlice default/cart-1: addressType: is "
                                           "ignored here"));
  EXPECT_THAT(result.manifests.slices, IsEmpty());
}

TEST(EndpointSliceManifest, EachErrorNamesFileLineObjectAndField) {
  std::string many = "endpoints:\n";
  for (int i = 0; i < 1001; ++i) many += "  - {addresses: [10.0.0.1]}\n";
  const std::string head = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n";
  const struct {
    std::string yaml;
    std::string error;
  } cases[] = {
      {slice_with("endpoints: []\n", "IPv5"),
       "f:4: EndpointSlice default/cart-1: addressType: must "
       "be IPv4 or IPv6 or FQDN, is 'IPv5'"},
      {head + "metadata: {name: a}\nendpoints: []\n", "addressType: is missing"},
      {slice_with(""), "endpoints: is missing"},
      {slice_with("endpoints: [{}]\n"),
       "f:5: EndpointSlice default/cart-1: endpoints[0].addresses: is missing"},
      {slice_with("endpoints: [{addresses: []}]\n"), "endpoints[0].addresses: must be 1 to 100"},
      {slice_with("endpoints: [{addresses: ['fd00::1']}]\n"),
       "endpoints[0].addresses[0]: must be of the slice's addressType, is 'fd00::1'"},
      {slice_with("endpoints: [{addresses: [127.0.0.1]}]\n"),
       "must be an address that others can reach"},
      {slice_with("endpoints: [{addresses: [10.0.0.1], conditions: {ready: 1}}]\n"),
       "endpoints[0].conditions.ready: must be true or false, is 1"},
      {slice_with("endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{}]}}]\n"),
       "endpoints[0].hints.forZones[0].name: is missing"},
      {slice_with(
           "endpoints: [{addresses: [10.0.0.1], hints: {forNodes: [{name: a}, {name: a}]}}]\n"),
       "endpoints[0].hints.forNodes[1].name: is there twice"},
      {slice_with("endpoints: []\nports: [{port: 65536}]\n"), "ports[0].port: must be 1 to 65535"},
      {slice_with("endpoints: []\nports: [{port: 1}, {port: 2}]\n"), "another port is named ''"},
      {slice_with("endpoints: []\nports: [{port: 1, protocol: ICMP}]\n"),
       "must be TCP or UDP or SCTP, is 'ICMP'"},
      {slice_with(many),
       "f:6: EndpointSlice default/cart-1: endpoints: must be at most 1000: use "
       "more slices"},
      {"apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a}\n"
       "addressType: IPv4\nendpoints: []\n",
       "apiVersion: must be discovery.k8s.io/v1, is 'discovery.k8s.io/v1beta1'"},
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
