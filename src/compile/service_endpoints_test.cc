// Which endpoints serve, by state, node, zone and weight.
#include "compile/service_endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compile/service_fixture.h"

namespace weir {
namespace {

using namespace fixture;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PortEndpoints found(const std::vector<EndpointSlice>& slices,
                    const Service& service = fixture::service(),
                    const ServiceContext& context = fixture::context()) {
  return endpoints_of(service, service.ports[0], Family::kIpv4, slices, context);
}

// Last byte of each backend's address, or "3:9090*2" with another port than 8080 or a weight.
std::vector<std::string> names(const std::vector<ServiceBackend>& backends) {
  std::vector<std::string> out;
  for (const ServiceBackend& backend : backends) {
    std::string name = std::to_string(backend.address.bytes()[15]);
    if (backend.port != 8080) name += ":" + std::to_string(backend.port);
    if (backend.weight != 1) name += "*" + std::to_string(backend.weight);
    out.push_back(name);
  }
  return out;
}

using Names = std::vector<std::string>;

struct Row {
  const char* what;
  std::vector<SliceEndpoint> endpoints;
  Names cluster;
  Names local;
  bool any = true;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const auto out = found({slice("cart-a", row.endpoints)});
    EXPECT_EQ(names(out.cluster()), row.cluster);
    EXPECT_EQ(names(out.local()), row.local);
    EXPECT_EQ(out.any, row.any);
  }
}

// .1 to .3 are on this node, .11 to .13 elsewhere.
SliceEndpoint here(int n) { return endpoint(("10.244.0." + std::to_string(n)).c_str(), "n0"); }
SliceEndpoint there(int n) { return endpoint(("10.244.1." + std::to_string(n)).c_str(), "n1"); }

TEST(Endpoints, ReadyOnesServeElseThoseThatTerminateAndServe) {
  SliceEndpoint gone = draining(there(12));
  gone.serving = false;
  SliceEndpoint stuck = unready(there(13));
  stuck.serving = true;  // neither ready nor terminating
  check({{"ready", {here(1), there(11)}, {"1", "11"}, {"1"}},
         {"not ready", {unready(here(1)), there(11)}, {"11"}, {}},
         {"draining beside ready", {draining(here(1)), here(2)}, {"2"}, {"2"}},
         {"only draining", {draining(here(1)), draining(there(11))}, {"1", "11"}, {"1"}},
         {"terminated", {gone, unready(here(1))}, {}, {}, false},
         {"serving without being ready", {stuck}, {}, {}, false},
         {"nothing", {}, {}, {}, false}});
}

TEST(Endpoints, TheNodesOwnFallBackApartFromTheClusters) {
  check({{"own drains, others are ready", {draining(here(1)), there(11)}, {"11"}, {"1"}},
         {"own is ready, others drain", {here(1), draining(there(11))}, {"1"}, {"1"}},
         {"own is not ready", {unready(here(1)), draining(there(11))}, {"11"}, {}}});
}

TEST(Endpoints, HintsForThisZoneCountWhenAllReadyOnesHaveThem) {
  check({{"own zone", {for_zone(here(1), "b"), for_zone(there(11), "a")}, {"11"}, {"1"}},
         {"one without", {here(1), for_zone(there(11), "a")}, {"1", "11"}, {"1"}},
         {"none for this zone",
          {for_zone(here(1), "b"), for_zone(there(11), "c")},
          {"1", "11"},
          {"1"}},
         {"unready ones need none",
          {unready(here(1)), for_zone(there(11), "a"), for_zone(there(12), "b")},
          {"11"},
          {}},
         {"an unready one for this zone is none",
          {unready(for_zone(here(1), "a")), for_zone(there(11), "b")},
          {"11"},
          {}},
         {"draining ones are taken from everywhere",
          {draining(for_zone(there(11), "b")), draining(for_zone(there(12), "a"))},
          {"11", "12"},
          {}}});
}

TEST(Endpoints, HintsForThisNodeComeBeforeZones) {
  const auto both = [](SliceEndpoint e, const char* node, const char* zone) {
    return for_node(for_zone(std::move(e), zone), node);
  };
  check({{"own node", {both(here(1), "n0", "a"), both(there(11), "n1", "a")}, {"1"}, {"1"}},
         {"none for this node: zone",
          {both(there(11), "n1", "a"), both(there(12), "n2", "b")},
          {"11"},
          {}},
         {"one without node: zone",
          {both(here(1), "n0", "a"), for_zone(there(11), "a"), for_zone(there(12), "b")},
          {"1", "11"},
          {"1"}},
         {"neither: all",
          {both(there(11), "n1", "b"), both(there(12), "n2", "c")},
          {"11", "12"},
          {}}});
}

TEST(Endpoints, ANodeWithoutZoneIgnoresZones) {
  auto nowhere = context();
  nowhere.zone.clear();
  const auto out = found({slice("cart-a", {for_zone(here(1), "a"), for_zone(there(11), "b")})},
                         service(), nowhere);
  EXPECT_THAT(names(out.cluster()), ElementsAre("1", "11"));
}

TEST(Endpoints, PublishNotReadyMakesAllReady) {
  Service eager = service();
  eager.publish_not_ready = true;
  const auto out =
      found({slice("cart-a", {unready(here(1)), draining(there(11)), there(12)})}, eager);
  EXPECT_THAT(names(out.cluster()), ElementsAre("1", "11", "12"));
  EXPECT_THAT(names(out.local()), ElementsAre("1"));
}

TEST(Endpoints, SlicesAddUpAndEachNamesItsOwnPort) {
  EndpointSlice other = slice("cart-b", {there(11), there(12)});
  other.ports = {{"metrics", Protocol::kTcp, 9999}, {"http", Protocol::kTcp, 9090}};
  EndpointSlice udp = slice("cart-c", {there(13)});
  udp.ports = {{"http", Protocol::kUdp, 8080}};
  const auto out = found({slice("cart-a", {here(1), there(11)}), other, udp});
  EXPECT_THAT(names(out.cluster()), ElementsAre("1", "11", "11:9090", "12:9090"));
}

TEST(Endpoints, OfDuplicatesTheReadyOneStandsInWhicheverSlice) {
  const std::vector<SliceEndpoint> worse = {unready(here(1)), draining(here(1)), [] {
                                              auto e = draining(here(1));
                                              e.serving = false;
                                              return e;
                                            }()};
  for (const SliceEndpoint& other : worse) {
    for (const bool first : {true, false}) {
      const std::vector<EndpointSlice> slices = {
          slice("cart-a", {first ? here(1) : other, there(11)}),
          slice("cart-b", {first ? other : here(1)})};
      EXPECT_THAT(names(found(slices).cluster()), ElementsAre("1", "11"));
    }
  }
}

TEST(Endpoints, ARunningPodBeatsAnOldOneThatHadItsAddress) {
  const std::vector<EndpointSlice> slices = {slice("cart-a", {draining(here(1))}),
                                             slice("cart-b", {unready(here(1))})};
  EXPECT_THAT(names(found(slices).cluster()), IsEmpty());
}

TEST(Endpoints, TheOrderOfSlicesDoesNotMatter) {
  const std::vector<EndpointSlice> slices = {
      slice("cart-a", {endpoint("10.244.0.1", "n0"), there(11)}),
      slice("cart-b", {endpoint("10.244.0.1", "n1"), there(12)})};
  const std::vector<EndpointSlice> reversed = {slices[1], slices[0]};
  EXPECT_EQ(found(slices).cluster(), found(reversed).cluster());
  EXPECT_EQ(found(slices).local(), found(reversed).local());
}

TEST(Endpoints, WeightsAreThoseOfThePodsWithoutCommonDivisor) {
  auto weighted = context();
  weighted.weight = [](const ObjectKey& pod) {
    return pod == ObjectKey{"shop", "big"} ? 70U : pod.name == "small" ? 30U : 256U;
  };
  const auto out = found({slice("cart-a", {of_pod(here(1), "big"), of_pod(there(11), "small")})},
                         service(), weighted);
  EXPECT_THAT(names(out.cluster()), ElementsAre("1*7", "11*3"));
  EXPECT_THAT(names(out.local()), ElementsAre("1"));
  EXPECT_THAT(names(found({slice("cart-a", {of_pod(here(1), "x"), of_pod(there(11), "y")})},
                          service(), weighted)
                        .cluster()),
              ElementsAre("1", "11"));
  EXPECT_THAT(
      names(found({slice("cart-a", {of_pod(here(1), "big"), there(11)})}, service(), weighted)
                .cluster()),
      ElementsAre("1*70", "11"));
}

TEST(Endpoints, WeightZeroHasNoShareUnlessAllAreZero) {
  auto weighted = context();
  weighted.weight = [](const ObjectKey& pod) { return pod.name == "none" ? 0U : 3U; };
  EXPECT_THAT(names(found({slice("cart-a", {of_pod(here(1), "none"), of_pod(there(11), "some")})},
                          service(), weighted)
                        .cluster()),
              ElementsAre("11"));
  EXPECT_THAT(names(found({slice("cart-a", {of_pod(here(1), "none"), of_pod(there(11), "none")})},
                          service(), weighted)
                        .cluster()),
              ElementsAre("1", "11"));
}

TEST(Endpoints, BadOnesAreToldBySliceAndNotUsed) {
  SliceEndpoint without = here(2);
  without.addresses.clear();
  EndpointSlice bad = slice("cart-a", {here(1), without, endpoint("fd00::1"), endpoint("127.0.0.1"),
                                       endpoint("169.254.1.1"), endpoint("0.0.0.0")});
  bad.ports.push_back({"all", Protocol::kTcp, 0});
  EXPECT_THAT(names(found({bad}).cluster()), ElementsAre("1"));
  std::vector<std::string> complaints;
  check_slices(service(), std::vector{bad}, complaints);
  EXPECT_THAT(complaints,
              ElementsAre(HasSubstr("service shop/cart: EndpointSlice cart-a has 5 endpoints"),
                          HasSubstr("service shop/cart: EndpointSlice cart-a has port 'all' "
                                    "without a number")));
}

TEST(Endpoints, FiveThousandInFiftySlicesAreSortedAndDistinct) {
  std::vector<EndpointSlice> slices;
  for (int s = 0; s < 50; ++s) {
    std::vector<SliceEndpoint> endpoints;
    for (int i = 0; i <= 100; ++i) {  // the last is the first of the next slice
      SliceEndpoint e = endpoint("10.244.0.0");
      e.addresses[0] =
          e.addresses[0].plus(static_cast<std::uint64_t>((49 - s) * 100 + 100 - i + 1));
      endpoints.push_back(e);
    }
    slices.push_back(slice(("cart-" + std::to_string(s)).c_str(), endpoints));
  }
  const auto backends = found(slices).cluster();
  ASSERT_EQ(backends.size(), 5001U);
  EXPECT_TRUE(std::ranges::is_sorted(backends));
}

EndpointState state_of(const std::vector<EndpointSlice>& slices, const char* address) {
  const auto states =
      endpoint_states(service(), service().ports[0], Family::kIpv4, slices, context());
  for (const EndpointState& state : states) {
    if (state.address == addr(address)) return state;
  }
  ADD_FAILURE() << "no state of " << address;
  return {};
}

TEST(EndpointStates, SayWhyAnEndpointDoesNotServe) {
  EndpointSlice other_port = slice("cart-b", {there(14)});
  other_port.ports[0].name = "metrics";
  const std::vector<EndpointSlice> slices = {
      slice("cart-a",
            {here(1), there(11), unready(there(12)), draining(here(2)), endpoint("fd00::1")}),
      other_port};
  using enum EndpointUse;
  struct {
    const char* address;
    EndpointUse cluster;
    EndpointUse local;
  } const rows[] = {
      {"10.244.0.1", kServes, kServes},        {"10.244.1.11", kServes, kOtherNode},
      {"10.244.1.12", kNotReady, kOtherNode},  {"10.244.0.2", kTerminating, kTerminating},
      {"fd00::1", kOtherFamily, kOtherFamily}, {"10.244.1.14", kNoSuchPort, kNoSuchPort}};
  for (const auto& row : rows) {
    SCOPED_TRACE(row.address);
    EXPECT_EQ(state_of(slices, row.address).cluster, row.cluster);
    EXPECT_EQ(state_of(slices, row.address).local, row.local);
  }
}

TEST(EndpointStates, SayThatAnotherZoneOrNodeIsMeant) {
  EXPECT_EQ(
      state_of({slice("cart-a", {for_zone(here(1), "b"), for_zone(there(11), "a")})}, "10.244.0.1")
          .cluster,
      EndpointUse::kOtherZone);
  EXPECT_EQ(state_of({slice("cart-a", {for_node(here(1), "n0"), for_node(there(11), "n1")})},
                     "10.244.1.11")
                .cluster,
            EndpointUse::kOtherNode);
}

TEST(ReadyHere, AreCountedByAddressInTheLargerFamily) {
  EndpointSlice other_port = slice("cart-b", {here(1), here(2)});
  other_port.ports[0].name = "metrics";
  const std::vector<EndpointSlice> slices = {
      slice("cart-a", {here(1), unready(here(3)), draining(here(4)), there(11)}), other_port,
      slice("cart-c", {endpoint("fd00::1", "n0")}, Family::kIpv6)};
  EXPECT_EQ(count_ready_here(service(), slices, "n0"), 2U);
  EXPECT_EQ(count_ready_here(service(), slices, "n2"), 0U);
}

}  // namespace
}  // namespace weir
