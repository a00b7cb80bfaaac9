#include "sys/node_links.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/scratch_netns.h"

namespace weir {
namespace {

class NodeLinks : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    netns_.emplace(*make_scratch_netns());
    netlink_.emplace(*Netlink::open_in(*netns_));
  }
  std::optional<Netns> netns_;
  std::optional<Netlink> netlink_;
};

const VxlanConfig kTunnel = {.name = "weir_vxlan",
                             .port = 8472,
                             .address = {0xee, 0xee, 0xee, 0xee, 0xee, 0x01},
                             .mtu = 1400};

TEST_F(NodeLinks, TheTunnelDeviceIsMadeOnceAndRepaired) {
  const auto first = ensure_vxlan(*netlink_, kTunnel);
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(*ensure_vxlan(*netlink_, kTunnel), *first);
  const auto link = *find_link(*netlink_, "weir_vxlan");
  EXPECT_TRUE(link.up);
  EXPECT_EQ(link.mtu, 1400U);
  EXPECT_EQ(link.address, kTunnel.address);
  ASSERT_TRUE(link.vxlan);
  EXPECT_TRUE(link.vxlan->external);
  EXPECT_EQ(link.vxlan->port, 8472);

  auto other = kTunnel;
  other.mtu = 1300;
  EXPECT_EQ(*ensure_vxlan(*netlink_, other), *first);
  EXPECT_EQ(find_link(*netlink_, "weir_vxlan")->mtu, 1300U);
  other.port = 4789;
  EXPECT_NE(*ensure_vxlan(*netlink_, other), *first);
  EXPECT_EQ(find_link(*netlink_, "weir_vxlan")->vxlan->port, 4789);
  EXPECT_TRUE(remove_link(*netlink_, "weir_vxlan"));
  EXPECT_TRUE(remove_link(*netlink_, "weir_vxlan"));
}

TEST_F(NodeLinks, SeveralLinksGoTogetherAndMissingOnesDoNotMatter) {
  std::vector<std::string> names;
  for (const std::uint32_t index : {101U, 102U, 103U}) {
    names.push_back("pair" + std::to_string(index));
    Batch batch;
    request::add_veth(batch, {names.back(), index, kTunnel.address},
                      {names.back() + "p", 0, kTunnel.address}, netns_->fd(), 1500);
    ASSERT_TRUE(netlink_->run(batch));
  }
  names.push_back("never");
  ASSERT_TRUE(remove_links(*netlink_, names));
  EXPECT_EQ(list_links(*netlink_)->size(), 1U);
  EXPECT_TRUE(remove_links(*netlink_, {"never", "ever"}));
}

TEST_F(NodeLinks, RoutesBecomeExactlyTheWanted) {
  const auto index = *ensure_vxlan(*netlink_, kTunnel);
  const auto route = [index](const char* cidr, std::uint32_t mtu) {
    return request::Route{.destination = *Cidr::parse(cidr), .index = index, .mtu = mtu};
  };
  const auto ours = [this] {
    std::vector<std::string> found;
    const auto routes = *list_routes(*netlink_);
    for (const auto& one : routes) {
      if (one.protocol == kNodeRouteProtocol) {
        found.push_back(one.destination.to_string() + " " + std::to_string(one.mtu));
      }
    }
    return found;
  };
  using Routes = std::vector<std::string>;
  ASSERT_TRUE(
      ensure_kernel_routes(*netlink_, {route("10.244.1.0/24", 1400), route("fd00:1::/64", 1400)}));
  EXPECT_EQ(ours(), (Routes{"10.244.1.0/24 1400", "fd00:1::/64 1400"}));
  ASSERT_TRUE(
      ensure_kernel_routes(*netlink_, {route("10.244.1.0/24", 1300), route("fd00:2::/64", 1400)}));
  EXPECT_EQ(ours(), (Routes{"10.244.1.0/24 1300", "fd00:2::/64 1400"}));
  ASSERT_TRUE(ensure_kernel_routes(*netlink_, {}));
  EXPECT_TRUE(ours().empty());
}

TEST_F(NodeLinks, OwnAddressesAreThoseOthersReach) {
  const auto index = *ensure_vxlan(*netlink_, kTunnel);
  Batch batch;
  for (const char* text : {"172.30.0.10", "fd00::10", "169.254.9.9", "fe80::9"}) {
    request::add_address(batch, index, *Address::parse(text));
  }
  request::set_up(batch, 1);
  ASSERT_TRUE(netlink_->run(batch));
  std::vector<std::string> found;
  const auto own = *own_addresses(*netlink_);
  for (const auto& one : own) found.push_back(one.address.to_string());
  EXPECT_EQ(found, (std::vector<std::string>{"172.30.0.10", "fd00::10"}));
}

}  // namespace
}  // namespace weir
