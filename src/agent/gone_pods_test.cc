#include "agent/gone_pods.h"

#include <gmock/gmock.h>

namespace weir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Pod pod(const char* name, const char* address) {
  Pod made;
  made.namespace_ = "shop";
  made.name = name;
  made.addresses = {*Address::parse(address)};
  made.phase = PodPhase::kRunning;
  return made;
}

PodEndpoint elsewhere(const char* name, const char* address) {
  Pod made = pod(name, address);
  made.node = "n1";
  return *pod_endpoint_of(made);
}

class GonePodsTest : public testing::Test {
 protected:
  Store store_;
  Names names_{store_};
  const std::string here_ = "n0";
  GonePods gone_{store_, names_, here_};
};

TEST_F(GonePodsTest, ADeletedPodIsGoneOnce) {
  store_.upsert(Object(pod("cart", "10.244.0.3")));
  EXPECT_THAT(gone_.take(), IsEmpty());
  store_.erase(Kind::kPod, {"shop", "cart"});
  EXPECT_THAT(gone_.take(), ElementsAre(*Address::parse("10.244.0.3")));
  EXPECT_THAT(gone_.take(), IsEmpty());
}

TEST_F(GonePodsTest, AChangedPodKeepsItsAddressAndAFinishedOneDoesNot) {
  Pod cart = pod("cart", "10.244.0.3");
  store_.upsert(Object(cart));
  cart.ready = true;
  store_.upsert(Object(cart));
  EXPECT_THAT(gone_.take(), IsEmpty());
  cart.phase = PodPhase::kFailed;
  store_.upsert(Object(cart));
  EXPECT_THAT(gone_.take(), ElementsAre(*Address::parse("10.244.0.3")));
}

TEST_F(GonePodsTest, AnAddressWithANewOwnerIsNotGone) {
  store_.upsert(Object(pod("cart", "10.244.0.3")));
  store_.upsert(Object(pod("tax", "10.244.0.3")));
  store_.erase(Kind::kPod, {"shop", "cart"});
  EXPECT_THAT(gone_.take(), IsEmpty());
}

TEST_F(GonePodsTest, APodOfAnotherNodeIsGoneWithItsEndpoint) {
  store_.upsert(Object(elsewhere("cart", "10.244.1.3")));
  EXPECT_THAT(gone_.take(), IsEmpty());
  store_.erase(Kind::kPodEndpoint, {"shop", "cart"});
  EXPECT_THAT(gone_.take(), ElementsAre(*Address::parse("10.244.1.3")));
}

TEST_F(GonePodsTest, APodOfThisNodeIsGoneWhenItsSandboxIs) {
  Endpoint endpoint;
  endpoint.handle = 1;
  endpoint.pod_namespace = "shop";
  endpoint.pod_name = "cart";
  endpoint.addresses = {*Address::parse("10.244.0.3")};
  store_.upsert(endpoint);
  store_.upsert(Object(pod("cart", "10.244.0.3")));
  store_.erase(Kind::kPod, {"shop", "cart"});
  EXPECT_THAT(gone_.take(), IsEmpty());
  store_.erase_endpoint(1);
  EXPECT_THAT(gone_.take(), ElementsAre(*Address::parse("10.244.0.3")));
}

TEST_F(GonePodsTest, APodIsGoneWithItsNodeOnce) {
  Node node{.name = "n1", .addresses = {*Address::parse("172.30.0.11")}, .pod_cidrs = {}};
  store_.upsert(Object(node));
  store_.upsert(Object(elsewhere("cart", "10.244.1.3")));
  store_.erase(Kind::kNode, {"", "n1"});
  EXPECT_THAT(gone_.take(),
              ElementsAre(*Address::parse("10.244.1.3"), *Address::parse("172.30.0.11")));
  store_.erase(Kind::kPodEndpoint, {"shop", "cart"});
  EXPECT_THAT(gone_.take(), ElementsAre(*Address::parse("10.244.1.3")));
}

TEST_F(GonePodsTest, ANodeThatIsMadeAgainAtOnceKeepsItsPods) {
  Node node{.name = "n1", .addresses = {*Address::parse("172.30.0.11")}, .pod_cidrs = {}};
  store_.upsert(Object(node));
  store_.upsert(Object(elsewhere("cart", "10.244.1.3")));
  store_.erase(Kind::kNode, {"", "n1"});
  store_.upsert(Object(node));
  EXPECT_THAT(gone_.take(), IsEmpty());
}

TEST_F(GonePodsTest, ThisNodesPodsOutliveItsObject) {
  store_.upsert(Object(Node{.name = "n0", .addresses = {}, .pod_cidrs = {}}));
  Pod cart = pod("cart", "10.244.0.3");
  cart.node = "n0";
  store_.upsert(Object(cart));
  store_.erase(Kind::kNode, {"", "n0"});
  cart.ready = true;
  store_.upsert(Object(cart));
  EXPECT_THAT(gone_.take(), IsEmpty());
}

TEST_F(GonePodsTest, HostNetworkPodsLeaveTheNodesAddress) {
  Pod proxy = pod("proxy", "172.30.0.10");
  proxy.host_network = true;
  store_.upsert(Object(proxy));
  store_.erase(Kind::kPod, {"shop", "proxy"});
  EXPECT_THAT(gone_.take(), IsEmpty());
}

}  // namespace
}  // namespace weir
