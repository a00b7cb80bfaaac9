#include "sys/links.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "sys/local_addresses.h"
#include "sys/monitor.h"
#include "sys/scratch_netns.h"

namespace weir {
namespace {

const LinkAddress kHostMac = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
const LinkAddress kPodMac = {0x0a, 0x58, 10, 244, 0, 5};

class Links : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    host_.emplace(*make_scratch_netns());
    pod_.emplace(*make_scratch_netns());
  }
  Result<void> make_pair(Netlink& netlink, std::uint32_t index) {
    Batch batch;
    request::add_veth(batch, {"weirtest", index, kHostMac}, {"eth0", 2, kPodMac}, pod_->fd(), 1400);
    request::no_link_local(batch, index);
    request::forward_v4(batch, index);
    request::set_up(batch, index);
    request::replace_route(batch, {.destination = *Cidr::parse("10.244.0.5/32"), .index = index});
    request::replace_route(batch, {.destination = *Cidr::parse("fd00::5/128"), .index = index});
    request::add_permanent_neighbour(batch, index, *Address::parse("fd00::5"), kPodMac);
    return netlink.run(batch);
  }
  std::optional<Netns> host_;
  std::optional<Netns> pod_;
};

TEST_F(Links, Ipv6AddressesAreWaitedFor) {
  using std::chrono::milliseconds;
  auto host = *Netlink::open_in(*host_);
  ASSERT_TRUE(make_pair(host, 77));
  const auto scope = NetnsScope::enter(*pod_);
  auto pod = *Netlink::open();
  auto locals = *LocalAddresses::open();
  const auto v4 = *Address::parse("10.244.0.5");
  const auto v6 = *Address::parse("fd00::5");
  EXPECT_TRUE(locals.wait_for({v4}, milliseconds(0))) << "the kernel's answer is enough";
  Batch batch;
  request::set_up(batch, 1);
  request::set_up(batch, 2);
  request::add_address(batch, 2, v4);
  request::add_address(batch, 2, v6);
  ASSERT_TRUE(pod.run(batch));
  EXPECT_TRUE(locals.wait_for({v4, v6}, milliseconds(5000)));
  const auto never = locals.wait_for({*Address::parse("fd00::6")}, milliseconds(20));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code(), Code::kUnavailable);
  EXPECT_EQ(never.error().text(), "the kernel does not take fd00::6 as its own");
}

TEST_F(Links, OneExchangeMakesThePairInBothNamespaces) {
  auto host = *Netlink::open_in(*host_);
  auto pod = *Netlink::open_in(*pod_);
  const auto made = make_pair(host, 77);
  ASSERT_TRUE(made) << made.error().text();
  const auto link = find_link(host, "weirtest");
  ASSERT_TRUE(link) << link.error().text();
  EXPECT_EQ(link->index, 77U);
  EXPECT_EQ(link->peer_index, 2U);
  EXPECT_EQ(link->kind, "veth");
  EXPECT_EQ(link->address, kHostMac);
  EXPECT_EQ(link->mtu, 1400U);
  EXPECT_TRUE(link->up);
  EXPECT_TRUE(list_addresses(host)->empty());
  const auto peer = find_link(pod, "eth0");
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->address, kPodMac);
  const auto routes = *list_routes(host);
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_EQ(routes[0].destination.to_string(), "10.244.0.5/32");
  EXPECT_EQ(routes[1].destination.to_string(), "fd00::5/128");
  const auto neighbours = *list_neighbours(host, 77);
  ASSERT_EQ(neighbours.size(), 1U);
  EXPECT_TRUE(neighbours[0].permanent);
}

TEST_F(Links, BothEndsTakeLargePacketsFromTheStartOrLater) {
  constexpr std::uint32_t kLarge = 196'608;
  auto host = *Netlink::open_in(*host_);
  auto pod = *Netlink::open_in(*pod_);
  const auto sizes = [&] {
    return std::pair(find_link(host, "weirtest")->gso_max_size,
                     find_link(pod, "eth0")->gso_max_size);
  };
  ASSERT_TRUE(make_pair(host, 77));
  EXPECT_EQ(sizes(), std::pair(kLegacyGsoSize, kLegacyGsoSize));
  EXPECT_GE(find_link(host, "weirtest")->tso_max_size, kLarge);
  Batch raise;
  request::set_gso_size(raise, 77, kLarge);
  ASSERT_TRUE(host.run(raise));
  EXPECT_EQ(sizes(), std::pair(kLarge, kLegacyGsoSize));
  Batch again;
  request::delete_link(again, 77);
  request::add_veth(again, {"weirtest", 77, kHostMac}, {"eth0", 2, kPodMac}, pod_->fd(), 1400,
                    kLarge);
  const auto made = host.run(again);
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(sizes(), std::pair(kLarge, kLarge));
  Batch lower;
  request::set_gso_size(lower, 77, kLegacyGsoSize);
  ASSERT_TRUE(host.run(lower));
  EXPECT_EQ(sizes(), std::pair(kLegacyGsoSize, kLarge));
}

TEST_F(Links, TheFailingMessageIsNamed) {
  auto host = *Netlink::open_in(*host_);
  Batch batch;
  request::add_address(batch, 1, *Address::parse("10.0.0.1"));
  request::add_address(batch, 4242, *Address::parse("10.0.0.2"));
  request::add_address(batch, 1, *Address::parse("10.0.0.3"));
  const auto result = host.run(batch);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().text().find("add address 10.0.0.2: "), std::string::npos)
      << result.error().text();
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_EQ(list_addresses(host, 1)->size(), 2U);
}

TEST_F(Links, DeletingTwiceIsSuccess) {
  auto host = *Netlink::open_in(*host_);
  ASSERT_TRUE(make_pair(host, 77));
  for (int i = 0; i < 2; ++i) {
    Batch batch;
    request::delete_link(batch, 77);
    EXPECT_TRUE(host.run(batch));
  }
  EXPECT_EQ(find_link(host, "weirtest").error().code(), Code::kNotFound);
}

TEST_F(Links, APeerIsSeenInItsNamespace) {
  auto host = *Netlink::open_in(*host_);
  auto pod = *Netlink::open_in(*pod_);
  ASSERT_TRUE(make_pair(host, 77));
  const auto peer = find_peer(host, *find_link(host, "weirtest"));
  ASSERT_TRUE(peer) << peer.error().text();
  EXPECT_EQ(peer->name, "eth0");
  EXPECT_EQ(peer->address, kPodMac);
  EXPECT_FALSE(peer->xdp);
  const auto back = find_peer(pod, *find_link(pod, "eth0"));
  ASSERT_TRUE(back) << back.error().text();
  EXPECT_EQ(back->name, "weirtest");
  const auto none = find_peer(host, *find_link(host, "lo"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kNotFound);
}

TEST_F(Links, TheMonitorSeesWhatChanges) {
  Result<NetworkMonitor> monitor = Error(Code::kKernel, "");
  {
    const auto scope = NetnsScope::enter(*host_);
    monitor = NetworkMonitor::open();
  }
  ASSERT_TRUE(monitor);
  EXPECT_TRUE(monitor->read()->changes.empty());
  auto host = *Netlink::open_in(*host_);
  ASSERT_TRUE(make_pair(host, 77));
  bool link = false;
  bool route = false;
  const auto seen = *monitor->read();
  for (const auto& change : seen.changes) {
    link |= change.subject == NetworkMonitor::Subject::kLink && change.index == 77;
    route |= change.subject == NetworkMonitor::Subject::kRoute && !change.gone;
  }
  EXPECT_TRUE(link);
  EXPECT_TRUE(route);
}

TEST_F(Links, NamespacesAreToldApart) {
  EXPECT_FALSE(host_->same_as(*pod_));
  EXPECT_NE(*host_->cookie(), *pod_->cookie());
  EXPECT_EQ(Netns::open("/dev/null").error().code(), Code::kInvalid);
  EXPECT_EQ(Netns::open("/none").error().code(), Code::kNotFound);
  EXPECT_EQ(Netns::open("/proc/self/ns/mnt").error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace weir
