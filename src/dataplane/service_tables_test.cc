#include "dataplane/service_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/service_fixture.h"
#include "dataplane/service_slots.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Tables : public testing::Test {
 protected:
  void SetUp() override { start({}); }
  void start(const FakeSizes& sizes) {
    tables_.reset();
    desired_.clear();
    kernel_ = std::make_unique<FakeKernel>(sizes);
    restart();
  }
  void restart() {
    tables_.reset();
    tables_ = kernel_->agent();
  }
  ServiceTables::Applied put(const ServicePortKey& key, const ServicePortEntries& entries) {
    desired_[key] = entries;
    return tables_->apply({{key, entries}});
  }
  ServiceTables::Applied put(const std::string& name, const ServicePortEntries& entries) {
    return put(port_key(name), entries);
  }
  ServiceTables::Applied remove(const std::string& name) {
    desired_.erase(port_key(name));
    return tables_->apply({{port_key(name), {}}});
  }
  ServiceTables::Applied later() {
    kernel_->now_ms += 1000;
    return tables_->retry();
  }
  std::uint32_t id(const std::string& name) { return tables_->id_of(port_key(name)); }
  // The row of vip(n):80/TCP.
  weir_service row(std::uint32_t n) {
    weir_service out{};
    weir_service_key key{};
    key.vip = to_abi(vip(n));
    key.port = htons(80);
    key.proto = 6;
    kernel_->row(key, &out);
    return out;
  }
  void expect_as_desired() { EXPECT_EQ(kernel_->visible(), expected(desired_)); }

  std::unique_ptr<FakeKernel> kernel_;
  std::unique_ptr<ServiceTables> tables_;
  ServiceChanges desired_;
};

// A Service with two scopes, both sets, affinity and source ranges.
ServicePortEntries rich(std::uint32_t n) {
  ServicePortEntries out;
  out.frontends = {
      {.address = vip(n), .port = 0, .flags = WEIR_SERVICE_OTHER_PORTS},
      {.address = vip(n), .port = 80},
      {.address = vip(n + 1000),
       .port = 80,
       .flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_LOCAL | WEIR_SERVICE_TWO_SCOPES |
                WEIR_SERVICE_SOURCE_RANGES,
       .local_set = true},
      {.address = vip(n + 1000), .port = 80, .scope = WEIR_SCOPE_CLUSTER},
  };
  std::ranges::sort(out.frontends);
  out.cluster = pods(n * 10, 3);
  out.local = pods(n * 10, 1);
  out.local.front().this_node = out.cluster.front().this_node = true;
  out.affinity_seconds = 42;
  out.source_ranges = {Cidr(Address::v4(0xc0a80000), 16), Cidr(Address::v4(0xc6336400), 24)};
  return out;
}

// --- content -------------------------------------------------------------------------------------

TEST_F(Tables, EverythingOfAServiceIsVisible) {
  const auto applied = put("cart", rich(1));
  EXPECT_TRUE(applied.changed);
  EXPECT_FALSE(applied.judged_again);
  EXPECT_THAT(applied.refused, IsEmpty());
  expect_as_desired();
  EXPECT_EQ(tables_->use().rows, 4U);
  EXPECT_EQ(tables_->use().backends, 4U);
  EXPECT_EQ(tables_->use().sets, 2U);
  EXPECT_EQ(tables_->port_of(id("cart")), port_key("cart"));
  EXPECT_EQ(tables_->port_of(id("cart") + 1), std::nullopt);
}

TEST_F(Tables, BothFamiliesAndAllProtocols) {
  for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}) {
    put(port_key("v4", protocol), cluster_ip(1, pods(1, 2)));
    ServicePortKey key = port_key("v6", protocol);
    key.family = Family::kIpv6;
    ServicePortEntries entries;
    entries.frontends = {{.address = *Address::parse("fd00:96::7"), .port = 80}};
    entries.cluster = {{.address = *Address::parse("fd00::9"), .port = 8080},
                       {.address = *Address::parse("fd00::1:9"), .port = 8080}};
    std::ranges::sort(entries.cluster);
    put(key, entries);
  }
  EXPECT_EQ(desired_.size(), 6U);
  expect_as_desired();
}

TEST_F(Tables, ARemovedServiceLeavesNothing) {
  put("cart", rich(1));
  const auto applied = remove("cart");
  EXPECT_TRUE(applied.judged_again);
  EXPECT_EQ(kernel_->row_count(), 0U);
  EXPECT_EQ(kernel_->range_count(), 0U);
  EXPECT_EQ(tables_->use().backends, 0U);
  EXPECT_EQ(tables_->use().sets, 0U);
  EXPECT_EQ(id("cart"), 0U);
  EXPECT_FALSE(tables_->waiting());
}

TEST_F(Tables, OnlyWhatDiffersIsWritten) {
  put("cart", rich(1));
  const auto before = kernel_->writes;
  EXPECT_FALSE(put("cart", rich(1)).changed);
  auto entries = rich(1);
  entries.cluster = pods(10, 4);
  EXPECT_TRUE(put("cart", entries).changed);
  EXPECT_EQ(kernel_->writes, before) << "backends are no business of the rows";
  entries.frontends.at(1).flags |= WEIR_SERVICE_DSR;
  put("cart", entries);
  EXPECT_EQ(kernel_->writes, before + 1);
  expect_as_desired();
}

TEST_F(Tables, AWeightIsANumberOfSlots) {
  auto entries = cluster_ip(1, pods(1, 3));
  entries.cluster[0].weight = 70;
  entries.cluster[1].weight = 30;
  entries.cluster[2].weight = 0;
  put("cart", entries);
  EXPECT_EQ(tables_->use().backends, 10U);
  expect_as_desired();
}

TEST_F(Tables, WithoutBackendsTheRowStays) {
  put("cart", cluster_ip(1, {}));
  expect_as_desired();
  EXPECT_EQ(kernel_->set(row(1).set).count, 0U);
  put("cart", cluster_ip(1, pods(1, 1)));
  put("cart", cluster_ip(1, {}));
  expect_as_desired();
}

TEST_F(Tables, ARowMovesBetweenServicesInOneStep) {
  put("a", cluster_ip(1, pods(1, 2)));
  put("b", cluster_ip(2, pods(5, 2)));
  desired_ = {{port_key("b"), cluster_ip(1, pods(5, 2))}};
  const auto applied =
      tables_->apply({{port_key("a"), {}}, {port_key("b"), desired_[port_key("b")]}});
  EXPECT_TRUE(applied.judged_again);
  expect_as_desired();
  EXPECT_EQ(row(1).id, id("b"));
  EXPECT_EQ(tables_->use().sets, 1U);
}

TEST_F(Tables, ARowMovesToAServiceOfWhichItsOwnerKnowsNothing) {
  put("a", rich(1));
  auto entries = rich(1);
  std::erase_if(entries.frontends, [](const auto& row) { return row.address == vip(1); });
  desired_[port_key("a")] = entries;
  put("b", cluster_ip(1, pods(5, 2)));  // before a has let it go
  tables_->apply({{port_key("a"), entries}});
  desired_[port_key("a")].frontends = entries.frontends;
  expect_as_desired();
}

TEST_F(Tables, TrafficPolicyGoesThereAndBack) {
  auto entries = rich(1);
  put("cart", entries);
  auto plain = entries;
  std::erase_if(plain.frontends, [](const auto& row) { return row.scope == WEIR_SCOPE_CLUSTER; });
  for (auto& row : plain.frontends) {
    row.local_set = false;
    row.flags &= ~std::uint32_t{WEIR_SERVICE_LOCAL | WEIR_SERVICE_TWO_SCOPES};
  }
  EXPECT_TRUE(put("cart", plain).judged_again);
  expect_as_desired();
  EXPECT_EQ(tables_->use().sets, 1U);
  put("cart", entries);
  expect_as_desired();
}

// What other nodes hand over is for this node's backends.
TEST_F(Tables, DirectServerReturnHasTheBackendsOfThisNodeAsWell) {
  auto entries = cluster_ip(1, pods(1, 4));
  entries.cluster[1].this_node = true;
  put("cart", entries);
  EXPECT_EQ(row(1).local_set, 0U);
  entries.frontends[0].flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_DSR;
  entries.local = {entries.cluster[1]};
  put("cart", entries);
  expect_as_desired();
  EXPECT_NE(row(1).local_set, row(1).set);
  restart();
  EXPECT_FALSE(tables_->apply(desired_).changed);
  entries.frontends[0].flags = WEIR_SERVICE_EXTERNAL;
  entries.local.clear();
  put("cart", entries);
  EXPECT_EQ(row(1).local_set, 0U);
  EXPECT_EQ(tables_->use().sets, 1U);
}

// --- what makes connections be judged again ------------------------------------------------------

TEST_F(Tables, AddingBackendsJudgesNothingAgain) {
  put("cart", cluster_ip(1, pods(1, 2)));
  const auto applied = put("cart", cluster_ip(1, pods(1, 5)));
  EXPECT_TRUE(applied.changed);
  EXPECT_FALSE(applied.judged_again);
}

TEST_F(Tables, LosingABackendOrARowJudgesAgain) {
  put("cart", rich(1));
  auto entries = rich(1);
  entries.cluster.pop_back();
  EXPECT_TRUE(put("cart", entries).judged_again);
  entries.frontends.pop_back();
  EXPECT_TRUE(put("cart", entries).judged_again);
}

TEST_F(Tables, WeightsAndAffinityJudgeNothingAgain) {
  put("cart", cluster_ip(1, pods(1, 2)));
  auto entries = cluster_ip(1, pods(1, 2));
  entries.cluster[0].weight = 3;
  entries.affinity_seconds = 10;
  EXPECT_FALSE(put("cart", entries).judged_again);
  expect_as_desired();
}

// A flow to the address may have begun before it was a Service's.
TEST_F(Tables, ANewUdpRowJudgesAgain) {
  EXPECT_TRUE(put(port_key("dns", Protocol::kUdp), cluster_ip(1, pods(1, 2))).judged_again);
  EXPECT_FALSE(put(port_key("dns", Protocol::kTcp), cluster_ip(1, pods(1, 2))).judged_again);
}

// --- rest ----------------------------------------------------------------------------------------

TEST_F(Tables, WhatWasLeftIsNotWrittenForASecond) {
  put("cart", cluster_ip(1, pods(1, 4)));
  const weir_set before = kernel_->set(row(1).set);
  const std::vector<weir_backend> left(kernel_->backends() + before.offset,
                                       kernel_->backends() + before.offset + before.count);
  const auto untouched = [&] {
    return std::memcmp(left.data(), kernel_->backends() + before.offset,
                       left.size() * sizeof left.front()) == 0;
  };
  for (std::uint32_t i = 2; i < 40; ++i) {
    put("cart", cluster_ip(1, pods(i, 4)));
    put("other", cluster_ip(2, pods(i, 3)));
    ASSERT_TRUE(untouched());
    kernel_->now_ms += 25;
  }
  kernel_->now_ms += 1000;
  for (std::uint32_t i = 2; i < 400 && untouched(); ++i) put("cart", cluster_ip(1, pods(i, 4)));
  EXPECT_FALSE(untouched());
}

TEST_F(Tables, IdsAndSetsRestBeforeTheyAreGivenAgain) {
  put("a", cluster_ip(1, pods(1, 1)));
  const weir_service old = row(1);
  remove("a");
  put("b", cluster_ip(1, pods(1, 1)));
  EXPECT_NE(row(1).id, old.id);
  EXPECT_NE(row(1).set, old.set);
  EXPECT_EQ(kernel_->set(old.set).count, 0U);
}

// --- what does not fit ---------------------------------------------------------------------------

TEST_F(Tables, BackendsThatDoNotFitAreRefusedAndTheEarlierStateStays) {
  start({.backends = 12});
  put("a", cluster_ip(1, pods(1, 4)));
  put("b", cluster_ip(2, pods(11, 4)));
  later();
  const auto before = desired_;
  const auto applied = put("a", cluster_ip(1, pods(1, 7)));
  EXPECT_THAT(applied.refused,
              ElementsAre(testing::AllOf(HasSubstr("shop/a:http/TCP/IPv4"),
                                         HasSubstr("7 more slots"), HasSubstr("--backend-max"))));
  EXPECT_EQ(tables_->complaints(), applied.refused);
  EXPECT_THAT(applied.refused, ElementsAre(tables_->complaint(port_key("a"))));
  EXPECT_EQ(tables_->complaint(port_key("b")), "");
  EXPECT_EQ(kernel_->visible(), expected(before));
  EXPECT_THAT(later().refused, IsEmpty()) << "it was said already";
  EXPECT_TRUE(tables_->waiting());
  remove("b");
  EXPECT_TRUE(later().changed);
  EXPECT_FALSE(tables_->waiting());
  EXPECT_THAT(tables_->complaints(), IsEmpty());
  EXPECT_EQ(tables_->complaint(port_key("a")), "");
  expect_as_desired();
}

TEST_F(Tables, WhatOnlyWaitsForRestIsNotRefused) {
  start({.backends = 11});
  put("a", cluster_ip(1, pods(1, 6)));
  put("a", cluster_ip(1, pods(20, 4)));
  EXPECT_THAT(put("a", cluster_ip(1, pods(30, 5))).refused, IsEmpty());
  EXPECT_TRUE(tables_->waiting());
  later();
  EXPECT_FALSE(tables_->waiting());
  expect_as_desired();
}

TEST_F(Tables, RowsThatDoNotFitAreRefused) {
  start({.rows = 6});
  put("a", rich(1));
  const auto before = desired_;
  const auto applied = put("b", rich(2));
  EXPECT_THAT(applied.refused,
              ElementsAre(testing::AllOf(HasSubstr("shop/b:http/TCP/IPv4"),
                                         HasSubstr("4 more rows"), HasSubstr("--service-max"))));
  EXPECT_EQ(kernel_->visible(), expected(before));
  EXPECT_EQ(id("b"), 0U);
  remove("a");
  later();
  expect_as_desired();
}

TEST_F(Tables, SourceRangesThatDoNotFitAreRefusedAndTheEarlierOnesStay) {
  start({.ranges = 5});
  put("a", rich(1));
  put("b", rich(2));
  const auto before = desired_;
  auto more = rich(2);
  more.cluster = pods(1, 2);
  more.source_ranges.emplace_back(Address::v4(0x0a010000), 16);
  more.source_ranges.emplace_back(Address::v4(0x0a020000), 16);
  std::ranges::sort(more.source_ranges);
  const auto applied = put("b", more);
  EXPECT_THAT(applied.refused, ElementsAre(testing::AllOf(HasSubstr("shop/b:http/TCP/IPv4"),
                                                          HasSubstr("2 more source ranges"),
                                                          HasSubstr("--source-range-max"))));
  EXPECT_EQ(kernel_->visible(), expected(before));
  EXPECT_EQ(tables_->use().ranges, 4U);
  auto small = rich(3);
  small.source_ranges.resize(1);
  EXPECT_THAT(tables_->apply({{port_key("c"), small}}).refused, IsEmpty())
      << "there is room for it";
  tables_->apply({{port_key("c"), {}}});
  remove("a");
  later();
  expect_as_desired();
  EXPECT_EQ(tables_->use().ranges, 4U);
  restart();
  EXPECT_EQ(tables_->use().ranges, 4U);
}

TEST_F(Tables, AFullTableTakesWhatReplacesOthers) {
  start({.rows = 4});
  put("a", rich(1));
  desired_ = {{port_key("b"), rich(2)}};
  const auto applied = tables_->apply({{port_key("a"), {}}, {port_key("b"), rich(2)}});
  EXPECT_THAT(applied.refused, IsEmpty());
  expect_as_desired();
}

TEST_F(Tables, SetsThatDoNotFitAreRefused) {
  start({.sets = 3});
  put("a", cluster_ip(1, pods(1, 1)));
  const auto before = desired_;
  EXPECT_THAT(put("b", rich(2)).refused, ElementsAre(HasSubstr("--service-max")));
  EXPECT_EQ(kernel_->visible(), expected(before));
  EXPECT_THAT(put("c", cluster_ip(3, pods(1, 1))).refused, IsEmpty());
}

TEST_F(Tables, ARefusedServiceThatGoesIsForgotten) {
  start({.backends = 5});
  put("a", cluster_ip(1, pods(1, 9)));
  EXPECT_TRUE(tables_->waiting());
  remove("a");
  EXPECT_FALSE(tables_->waiting());
  EXPECT_EQ(kernel_->row_count(), 0U);
  EXPECT_EQ(tables_->use().sets, 0U);
}

TEST_F(Tables, ALargeServiceFitsIntoManySmallHoles) {
  start({.backends = 1001});
  for (std::uint32_t i = 0; i < 100; ++i) put(fmt::format("s{}", i), cluster_ip(i, pods(i, 10)));
  for (std::uint32_t i = 0; i < 100; i += 2) remove(fmt::format("s{}", i));
  later();
  put("large", cluster_ip(500, pods(1, 200)));
  for (int i = 0; i < 3 && tables_->waiting(); ++i) later();
  EXPECT_FALSE(tables_->waiting());
  expect_as_desired();
}

// --- failing writes ------------------------------------------------------------------------------

TEST_F(Tables, WhatFailedIsTriedAgain) {
  kernel_->failures = 100;
  const auto applied = put("cart", rich(1));
  EXPECT_THAT(applied.refused, ElementsAre(HasSubstr("injected")));
  EXPECT_TRUE(tables_->waiting());
  EXPECT_EQ(kernel_->row_count(), 0U);
  kernel_->failures = 0;
  tables_->retry();
  EXPECT_FALSE(tables_->waiting());
  expect_as_desired();
  kernel_->failures = 100;
  remove("cart");
  EXPECT_TRUE(tables_->waiting());
  kernel_->failures = 0;
  EXPECT_TRUE(tables_->retry().judged_again);
  EXPECT_FALSE(tables_->waiting());
  EXPECT_EQ(kernel_->row_count(), 0U);
  EXPECT_EQ(tables_->use().sets, 0U);
}

// --- adoption ------------------------------------------------------------------------------------

TEST_F(Tables, ARestartChangesNothing) {
  put("cart", rich(1));
  put("web", cluster_ip(2, pods(50, 5)));
  const std::uint32_t cart = id("cart");
  const std::uint32_t web = id("web");
  const auto writes = kernel_->writes;
  restart();
  const auto applied = tables_->apply(desired_);
  EXPECT_FALSE(applied.changed);
  EXPECT_FALSE(tables_->prune().changed);
  EXPECT_EQ(kernel_->writes, writes);
  EXPECT_EQ(id("cart"), cart);
  EXPECT_EQ(id("web"), web);
  expect_as_desired();
}

// Policy Local while nobody serves, or a Service whose clients stay on their node.
TEST_F(Tables, ARestartFindsTheLocalSetOfARowWithoutItsFlag) {
  auto entries = cluster_ip(1, {});
  entries.frontends.front().local_set = true;
  entries.local = {{.address = pod(1), .port = 8080, .this_node = true}};
  put("cart", entries);
  const weir_service before = row(1);
  restart();
  const auto applied = put("cart", entries);
  EXPECT_FALSE(applied.changed);
  EXPECT_FALSE(applied.judged_again) << "no connection is asked anything";
  EXPECT_EQ(row(1).set, before.set);
  EXPECT_FALSE(tables_->prune().changed);
  expect_as_desired();
}

TEST_F(Tables, WhatWentDuringARestartIsPruned) {
  put("cart", rich(1));
  put("web", cluster_ip(2, pods(50, 5)));
  restart();
  desired_.erase(port_key("cart"));
  tables_->apply(desired_);
  EXPECT_EQ(kernel_->row_count(), 5U) << "nothing goes before the list is complete";
  EXPECT_TRUE(tables_->prune().judged_again);
  expect_as_desired();
  EXPECT_EQ(kernel_->range_count(), 0U);
  EXPECT_EQ(tables_->use().sets, 1U);
  EXPECT_EQ(tables_->use().backends, 5U);
}

TEST_F(Tables, WhatIsRefusedAfterARestartKeepsItsEarlierState) {
  start({.backends = 8});
  put("a", cluster_ip(1, pods(1, 5)));
  const auto before = desired_;
  restart();
  EXPECT_THAT(put("a", cluster_ip(1, pods(1, 7))).refused, ElementsAre(HasSubstr("backend-max")));
  tables_->prune();
  EXPECT_EQ(kernel_->visible(), expected(before));
}

TEST_F(Tables, NonsenseInTheTablesIsReplaced) {
  put("cart", rich(1));
  weir_service wrong = row(1);
  wrong.set = 4000;  // nobody's
  kernel_->corrupt(wrong);
  wrong.key.port = htons(81);
  wrong.id = 0xfffffff0;
  kernel_->corrupt(wrong);
  wrong.key.port = htons(82);
  wrong.id = 77;
  wrong.set = 99999;
  kernel_->corrupt(wrong);
  kernel_->backends()[kernel_->set(row(1001).set).offset].set = 1;
  restart();
  tables_->apply(desired_);
  tables_->prune();
  expect_as_desired();
  EXPECT_EQ(tables_->use().sets, 2U);
}

TEST_F(Tables, EmptiedArraysAreFilledAgain) {
  put("cart", rich(1));
  for (std::uint32_t i = 0; i < 16384; ++i) kernel_->backends()[i] = {};
  restart();
  tables_->apply(desired_);
  expect_as_desired();
}

// --- rings ---------------------------------------------------------------------------------------

ServicePortEntries ringed(std::uint32_t n, std::uint32_t backends) {
  auto out = cluster_ip(n, pods(n * 1000, backends));
  out.frontends.front().flags = WEIR_SERVICE_RING | WEIR_SERVICE_EXTERNAL;
  return out;
}

class Rings : public Tables {
 protected:
  // Every slot of the ring is a backend of the set, each about equally often; empty: no ring.
  void expect_ring(std::uint32_t n, bool there) {
    const std::uint32_t set = row(n).set;
    const auto slots = kernel_->ring_slots(set);
    ASSERT_EQ(!slots.empty(), there);
    const weir_set extent = kernel_->set(set);
    std::map<std::uint32_t, std::uint32_t> load;
    for (const std::uint32_t slot : slots) {
      ASSERT_GE(slot, extent.offset);
      ASSERT_LT(slot, extent.offset + extent.count);
      ++load[slot];
    }
    EXPECT_EQ(load.size(), there ? extent.count : 0);
  }
};

TEST_F(Rings, OnlyLargeSetsHaveOne) {
  put("a", ringed(1, WEIR_RENDEZVOUS_MAX));
  expect_ring(1, false);
  put("a", ringed(1, WEIR_RENDEZVOUS_MAX + 1));
  expect_ring(1, true);
  put("a", ringed(1, WEIR_RENDEZVOUS_MAX + 9));
  expect_ring(1, true);
  EXPECT_EQ(tables_->use().rings, 1U);
  put("a", ringed(1, 5));
  expect_ring(1, false);
  EXPECT_EQ(tables_->use().rings, 0U);
}

TEST_F(Rings, AreTheSameOnEveryNode) {
  const auto chosen = [this] {
    std::vector<std::uint32_t> out;
    const weir_set extent = kernel_->set(row(1).set);
    for (const std::uint32_t slot : kernel_->ring_slots(row(1).set)) {
      out.push_back(slot - extent.offset);
    }
    return out;
  };
  put("a", ringed(1, 200));
  const auto here = chosen();
  start({});
  put("b", ringed(2, 300));
  put("a", ringed(1, 150));
  put("a", ringed(1, 200));
  EXPECT_EQ(chosen(), here);
}

TEST_F(Rings, WhenNoneIsLeftItIsSaidOnceAndMendedLater) {
  for (std::uint32_t i = 1; i <= 4; ++i) put(fmt::format("s{}", i), ringed(i, 130));
  const auto applied = put("more", ringed(5, 130));
  EXPECT_THAT(applied.refused, ElementsAre(testing::AllOf(HasSubstr("shop/more:http/TCP/IPv4"),
                                                          HasSubstr("--ring-max"))));
  EXPECT_EQ(tables_->complaints(), applied.refused);
  EXPECT_EQ(tables_->complaint(port_key("more")), applied.refused.front());
  EXPECT_EQ(tables_->complaint(port_key("s2")), "");
  expect_as_desired();
  EXPECT_THAT(put("more", ringed(5, 131)).refused, IsEmpty());
  remove("s2");
  EXPECT_TRUE(tables_->waiting());
  later();
  expect_ring(5, true);
  EXPECT_FALSE(tables_->waiting());
  EXPECT_THAT(tables_->complaints(), IsEmpty());
}

TEST_F(Rings, AreAdopted) {
  put("a", ringed(1, 200));
  put("b", ringed(2, 150));
  const weir_ring a = kernel_->ring(row(1).set);
  restart();
  tables_->apply(desired_);
  EXPECT_EQ(kernel_->ring(row(1).set).offset, a.offset);
  EXPECT_EQ(tables_->use().rings, 2U);
  put("c", ringed(3, 150));
  for (std::uint32_t i = 1; i <= 3; ++i) expect_ring(i, true);
}

TEST_F(Rings, AdoptedOnesAreMappedBeforeTheyAreWritten) {
  put("a", ringed(1, 200));
  restart();
  EXPECT_TRUE(kernel_->has_reached_ring(row(1).set));
}

TEST_F(Rings, MoveWithTheirSets) {
  start({.backends = 601});
  put("a", ringed(1, 140));
  put("hole", cluster_ip(7, pods(1, 20)));
  put("a", ringed(1, 141));
  later();
  for (std::uint32_t i = 10; i < 20; ++i) put(fmt::format("s{}", i), cluster_ip(i, pods(i, 10)));
  for (std::uint32_t i = 10; i < 20; i += 2) remove(fmt::format("s{}", i));
  later();
  put("large", cluster_ip(500, pods(1, 330)));
  for (int i = 0; i < 6 && tables_->waiting(); ++i) later();
  expect_as_desired();
  expect_ring(1, true);
}

// --- slots ---------------------------------------------------------------------------------------

TEST(Slots, WeightsAreKeptWithinTheBound) {
  auto backends = pods(1, 3);
  backends[0].weight = 1'000'003;
  backends[1].weight = 500'000;
  backends[2].weight = 1;
  const auto slots = slots_of(backends);
  EXPECT_LE(slots.size(), kWeightedSlots + 3);
  const auto heavy =
      std::ranges::count_if(slots, [](const auto& one) { return from_abi(one.addr) == pod(1); });
  EXPECT_NEAR(static_cast<double>(heavy) / static_cast<double>(slots.size()), 2.0 / 3, 0.01);
}

TEST(Slots, ManyBackendsAreNotBounded) { EXPECT_EQ(slots_of(pods(1, 10'000)).size(), 10'000U); }

TEST(Slots, AreSortedByAddressThenPort) {
  std::vector<ServiceBackend> backends = {{.address = pod(2), .port = 1},
                                          {.address = pod(1), .port = 256},
                                          {.address = pod(1), .port = 2}};
  const auto slots = slots_of(backends);
  ASSERT_EQ(slots.size(), 3U);
  EXPECT_EQ(ntohs(slots[0].port), 2);
  EXPECT_EQ(ntohs(slots[1].port), 256);
  EXPECT_EQ(from_abi(slots[2].addr), pod(2));
}

TEST(Slots, WithoutAnyWeightThereAreNone) {
  auto backends = pods(1, 2);
  for (auto& one : backends) one.weight = 0;
  EXPECT_TRUE(slots_of(backends).empty());
}

}  // namespace
}  // namespace weir
