#include "local/balancer.h"

#include <gtest/gtest.h>

namespace weir::local {
namespace {

const Address kVip = *Address::parse("198.51.100.7");
const Address kVip6 = *Address::parse("2001:db8:100::7");

std::vector<LocalNode> nodes() {
  Cluster cluster;
  cluster.nodes = 3;
  return cluster.make_nodes();
}

Service service(TrafficPolicy policy) {
  Service out;
  out.type = ServiceType::kLoadBalancer;
  out.external_policy = policy;
  out.ingress = {{kVip, false}, {kVip6, false}};
  return out;
}

EndpointSlice slice(Family family, const std::string& node, bool ready) {
  EndpointSlice out;
  out.family = family;
  auto& endpoint = out.endpoints.emplace_back();
  endpoint.ready = ready;
  endpoint.node = node;
  return out;
}

std::string targets(const Service& service, const std::vector<EndpointSlice>& slices,
                    const Address& vip) {
  BalancerTargets all;
  add_targets(service, slices, nodes(), all);
  std::string text;
  for (const auto& address : all[vip]) text += address.to_string() + ' ';
  return text;
}

TEST(Balancer, LeadsToAllNodes) {
  EXPECT_EQ(targets(service(TrafficPolicy::kCluster), {}, kVip),
            "172.30.0.10 172.30.0.11 172.30.0.12 ");
  EXPECT_EQ(targets(service(TrafficPolicy::kCluster), {}, kVip6),
            "fd00:30::a fd00:30::b fd00:30::c ");
}

TEST(Balancer, LeadsToNodesWithReadyEndpointsWhenThePolicyIsLocal) {
  const std::vector slices = {slice(Family::kIpv4, "n1", true), slice(Family::kIpv4, "n2", false),
                              slice(Family::kIpv6, "n0", true)};
  EXPECT_EQ(targets(service(TrafficPolicy::kLocal), slices, kVip), "172.30.0.11 ");
  EXPECT_EQ(targets(service(TrafficPolicy::kLocal), slices, kVip6), "fd00:30::a ");
}

TEST(Balancer, LeavesAProxysAddressAlone) {
  auto proxied = service(TrafficPolicy::kCluster);
  proxied.ingress[0].proxy = true;
  EXPECT_EQ(targets(proxied, {}, kVip), "");
}

}  // namespace
}  // namespace weir::local
