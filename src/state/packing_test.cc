#include "state/packing.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir {
namespace {

Address addr(const char* text) { return *Address::parse(text); }

Service full_service() {
  Service out;
  out.namespace_ = "shop";
  out.name = std::string(300, 'x');
  out.created = 1'764'000'000;
  out.selector = {{"app", "cart"}, {"tier", ""}};
  out.ports = {{"http", Protocol::kSctp, 65535, {8080, ""}, 30080},
               {"", Protocol::kUdp, 1, {0, "web"}, 0}};
  out.cluster_ips = {addr("fd00::7"), addr("10.96.0.7")};
  out.headless = true;
  out.type = ServiceType::kLoadBalancer;
  out.families = {Family::kIpv6, Family::kIpv4};
  out.external_ips = {addr("198.51.100.7")};
  out.ingress = {{addr("192.0.2.7"), true}, {addr("::"), false}};
  out.source_ranges = {*Cidr::parse("203.0.113.0/24"), *Cidr::parse("2001:db8::/32")};
  out.internal_policy = TrafficPolicy::kLocal;
  out.external_policy = TrafficPolicy::kLocal;
  out.health_check_port = 32000;
  out.allocate_node_ports = false;
  out.publish_not_ready = true;
  out.affinity_seconds = std::numeric_limits<std::uint32_t>::max();
  out.distribution = TrafficDistribution::kPreferSameNode;
  out.other_proxy = true;
  out.own_node_first = true;
  out.node_local_for = "dns";
  out.dsr = true;
  return out;
}

EndpointSlice full_slice() {
  EndpointSlice out;
  out.namespace_ = "shop";
  out.name = "cart-a";
  out.service = "cart";
  out.family = Family::kIpv6;
  out.endpoints = {{{addr("fd00::3"), addr("0.0.0.0")},
                    false,
                    false,
                    true,
                    "n0",
                    "zone-a",
                    {"zone-a", "zone-b"},
                    {"n0"},
                    "cart-0"},
                   {}};
  out.ports = {{"http", Protocol::kTcp, 8080}, {"", Protocol::kUdp, 0}};
  return out;
}

template <typename T>
T through_bytes(const T& value) {
  T out;
  unpack(pack(value), out);
  return out;
}

TEST(Packing, KeepsEveryField) {
  EXPECT_EQ(through_bytes(full_service()), full_service());
  EXPECT_EQ(through_bytes(full_slice()), full_slice());
  EXPECT_EQ(through_bytes(Service()), Service());
  EXPECT_EQ(through_bytes(EndpointSlice()), EndpointSlice());
}

TEST(Packing, TimesBefore1970AreKept) {
  Service old;
  old.created = -5;
  EXPECT_EQ(through_bytes(old), old);
}

TEST(Packing, AnEndpointTakesItsTextsAndFewBytesMore) {
  const SliceEndpoint one{.addresses = {addr("10.244.0.3")},
                          .node = "node-pool-a-0000",
                          .zone = "europe-west1-a",
                          .hinted_zones = {},
                          .hinted_nodes = {},
                          .pod = "cart-5d9f7c6b8-abcde"};
  EndpointSlice slice;
  const std::size_t without = pack(slice).size();
  slice.endpoints = {one};
  const std::size_t texts = one.node.size() + one.zone.size() + one.pod.size();
  EXPECT_LE(pack(slice).size() - without, texts + 16);
}

}  // namespace
}  // namespace weir
