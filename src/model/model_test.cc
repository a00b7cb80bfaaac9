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

}  // namespace
}  // namespace weir
