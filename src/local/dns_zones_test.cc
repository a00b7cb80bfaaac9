#include "local/dns_zones.h"

#include <gtest/gtest.h>

namespace weir::local {
namespace {

ServiceManifest service(const std::string& name) {
  ServiceManifest manifest;
  manifest.service.namespace_ = "shop";
  manifest.service.name = name;
  manifest.service.ports = {{.name = "http", .port = 80, .target = {8080, ""}},
                            {.name = "dns", .protocol = Protocol::kUdp, .port = 53, .target = {}}};
  return manifest;
}

EndpointSlice slice(Family family, const std::vector<std::pair<const char*, bool>>& endpoints) {
  EndpointSlice out;
  out.namespace_ = "shop";
  out.service = "cart";
  out.family = family;
  out.ports = {{"http", Protocol::kTcp, 8080}};
  for (const auto& [address, ready] : endpoints) {
    auto& endpoint = out.endpoints.emplace_back();
    endpoint.addresses = {*Address::parse(address)};
    endpoint.ready = ready;
  }
  return out;
}

TEST(DnsZones, AServiceHasItsClusterIps) {
  auto cart = service("cart");
  cart.service.cluster_ips = {*Address::parse("10.96.1.2"), *Address::parse("fd00:96::102")};
  const auto zones = make_zones({cart}, {slice(Family::kIpv4, {{"10.244.0.5", true}})}, {});
  EXPECT_EQ(zones.cluster,
            "_dns._udp.cart.shop.svc.cluster.local. SRV 0 100 53 cart.shop.svc.cluster.local.\n"
            "_http._tcp.cart.shop.svc.cluster.local. SRV 0 100 80 cart.shop.svc.cluster.local.\n"
            "cart.shop.svc.cluster.local. A 10.96.1.2\n"
            "cart.shop.svc.cluster.local. AAAA fd00:96::102\n");
  EXPECT_EQ(zones.reverse4, "2.1.96.10.in-addr.arpa. PTR cart.shop.svc.cluster.local.\n");
  EXPECT_EQ(zones.reverse6,
            "2.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa. PTR "
            "cart.shop.svc.cluster.local.\n");
}

TEST(DnsZones, AHeadlessServiceHasItsReadyEndpoints) {
  auto cart = service("cart");
  cart.service.headless = true;
  const auto zones =
      make_zones({cart},
                 {slice(Family::kIpv4, {{"10.244.0.5", true}, {"10.244.0.6", false}}),
                  slice(Family::kIpv6, {{"fd00:244::5", true}})},
                 {});
  EXPECT_EQ(zones.cluster,
            "10-244-0-5.cart.shop.svc.cluster.local. A 10.244.0.5\n"
            "_http._tcp.cart.shop.svc.cluster.local. SRV 0 100 8080 "
            "10-244-0-5.cart.shop.svc.cluster.local.\n"
            "_http._tcp.cart.shop.svc.cluster.local. SRV 0 100 8080 "
            "fd00-244--5.cart.shop.svc.cluster.local.\n"
            "cart.shop.svc.cluster.local. A 10.244.0.5\n"
            "cart.shop.svc.cluster.local. AAAA fd00:244::5\n"
            "fd00-244--5.cart.shop.svc.cluster.local. AAAA fd00:244::5\n");
  EXPECT_EQ(zones.reverse4,
            "5.0.244.10.in-addr.arpa. PTR 10-244-0-5.cart.shop.svc.cluster.local.\n");
}

TEST(DnsZones, AnExternalNameIsAnAlias) {
  auto cart = service("cart");
  cart.service.type = ServiceType::kExternalName;
  cart.external_name = "cart.example.com";
  EXPECT_EQ(make_zones({cart}, {}, {}).cluster,
            "cart.shop.svc.cluster.local. CNAME cart.example.com.\n");
}

TEST(DnsZones, PodsAreNamedByTheirAddresses) {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = "cart-0";
  pod.addresses = {*Address::parse("10.244.0.5"), *Address::parse("fd00:244::5")};
  Pod finished = pod;
  finished.phase = PodPhase::kFailed;
  finished.addresses = {*Address::parse("10.244.0.9")};
  EXPECT_EQ(make_zones({}, {}, {pod, finished}).cluster,
            "10-244-0-5.shop.pod.cluster.local. A 10.244.0.5\n"
            "fd00-244--5.shop.pod.cluster.local. AAAA fd00:244::5\n");
}

}  // namespace
}  // namespace weir::local
