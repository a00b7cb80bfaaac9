#include <gtest/gtest.h>

#include "model/endpoint.h"
#include "model/object.h"

namespace weir {
namespace {

TEST(Object, KindAndKeyFollowTheAlternative) {
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = "cart-0";
  const Object objects[] = {Node{.name = "n0", .addresses = {}, .pod_cidrs = {}},
                            Namespace{.name = "shop", .labels = {}}, pod, Service{},
                            EndpointSlice{}};
  for (std::size_t i = 0; i < std::size(objects); ++i) {
    EXPECT_EQ(kind_of(objects[i]), kKinds[i]);
    EXPECT_EQ(parse_kind(kind_name(kKinds[i])), kKinds[i]);
  }
  EXPECT_EQ(key_of(objects[0]).to_string(), "n0");
  EXPECT_EQ(key_of(objects[2]).to_string(), "shop/cart-0");
  EXPECT_FALSE(parse_kind("node"));
}

TEST(Service, SelectsPodsThatHaveAllItsLabels) {
  Service service;
  EXPECT_FALSE(service.selects({{"app", "cart"}})) << "an empty selector selects nothing";
  service.selector = {{"app", "cart"}, {"tier", "back"}};
  EXPECT_TRUE(service.selects({{"app", "cart"}, {"tier", "back"}, {"x", "y"}}));
  EXPECT_FALSE(service.selects({{"app", "cart"}}));
  EXPECT_FALSE(service.selects({{"app", "cart"}, {"tier", "front"}}));
}

TEST(Endpoint, MacIsPrintedAsLinuxDoes) {
  EXPECT_EQ(to_string(Mac{2, 0, 0xab, 0xcd, 0xe, 0xff}), "02:00:ab:cd:0e:ff");
}

TEST(HostPort, OverlapIsOfProtocolPortAndAddresses) {
  const Address any;
  const Address any_v4 = Address::v4(0);
  const Address v4 = *Address::parse("172.30.0.10");
  const Address v6 = *Address::parse("fd00::1");
  const auto tcp = [](const Address& ip, std::uint16_t port = 80) {
    return HostPort{Protocol::kTcp, port, 8080, ip};
  };
  EXPECT_TRUE(overlap(tcp(any), tcp(any)));
  EXPECT_TRUE(overlap(tcp(any), tcp(v6)));
  EXPECT_TRUE(overlap(tcp(v4), tcp(any_v4)));
  EXPECT_TRUE(overlap(tcp(v4), tcp(v4)));
  EXPECT_TRUE(overlap(tcp(any), tcp(any_v4)));
  EXPECT_FALSE(overlap(tcp(any_v4), tcp(v6)));
  EXPECT_FALSE(overlap(tcp(v4), tcp(v6)));
  EXPECT_FALSE(overlap(tcp(any), tcp(any, 81)));
  EXPECT_FALSE(overlap(tcp(any), {Protocol::kUdp, 80, 8080, any}));
}

}  // namespace
}  // namespace weir
