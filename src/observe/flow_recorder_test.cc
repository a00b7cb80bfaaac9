#include "observe/flow_recorder.h"

#include <gtest/gtest.h>

#include "observe/flow_fixture.h"

namespace weir {
namespace {

std::vector<std::uint16_t> ports(const FlowRecorder& recorder, std::size_t count,
                                 const FlowFilter& filter = {}) {
  std::vector<std::uint16_t> seen;
  recorder.last(count, filter, [&](const Flow& flow) { seen.push_back(flow.source.port); });
  return seen;
}

void feed(FlowRecorder& recorder, const fixture::EventSpec& spec) {
  recorder.on_event(fixture::bytes(fixture::event(spec)));
}

TEST(FlowRecorder, RemembersTheLastOnesOldestFirst) {
  FlowRecorder recorder(fixture::name_of, 3, fixture::clock());
  EXPECT_TRUE(ports(recorder, 10).empty());
  for (std::uint16_t port = 1; port <= 5; ++port) feed(recorder, {.source_port = port});
  EXPECT_EQ(ports(recorder, 10), (std::vector<std::uint16_t>{3, 4, 5}));
  EXPECT_EQ(ports(recorder, 2), (std::vector<std::uint16_t>{4, 5}));
  FlowFilter filter;
  ASSERT_TRUE(filter.add("port", "4"));
  EXPECT_EQ(ports(recorder, 2, filter), (std::vector<std::uint16_t>{4}));
}

TEST(FlowRecorder, NamesTheKernelsReason) {
  FlowRecorder recorder(fixture::name_of, 3, fixture::clock(), {}, {},
                        [](std::uint32_t reason) { return "R" + std::to_string(reason); });
  weir_event raw = fixture::event({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_KERNEL});
  raw.hook = WEIR_HOOK_KERNEL;
  raw.kernel_reason = 64;
  recorder.on_event(fixture::bytes(raw));
  feed(recorder, {.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED});
  FlowFilter filter;
  ASSERT_TRUE(filter.add("reason", "kernel"));
  std::vector<std::string> names;
  recorder.last(5, filter, [&](const Flow& flow) { names.emplace_back(drop_name(flow)); });
  EXPECT_EQ(names, std::vector<std::string>{"R64"});
}

TEST(FlowRecorder, NamesBothEndsAndGivesWallTime) {
  FlowRecorder recorder(fixture::name_of, 3, fixture::clock());
  feed(recorder, {});
  recorder.last(1, {}, [](const Flow& flow) {
    EXPECT_EQ(flow.source.name->pod, "cart-7d9-x2x");
    EXPECT_EQ(flow.destination.name->workload, "payment");
    EXPECT_EQ(flow.time_ns, 1'005'000'000'000);
  });
}

TEST(FlowRecorder, ADropNamesWhoReallySentIt) {
  const Name mallory{NameKind::kPod, "shop", "mallory", "", "n0"};
  FlowRecorder recorder(fixture::name_of, 3, fixture::clock(),
                        [&](std::uint32_t ifindex) { return ifindex == 7 ? &mallory : nullptr; });
  feed(recorder, {.type = WEIR_EVENT_NEW});
  feed(recorder, {.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED});
  FlowFilter filter;
  ASSERT_TRUE(filter.add("pod", "shop/mallory"));
  int seen = 0;
  recorder.last(3, filter, [&](const Flow& flow) {
    ++seen;
    EXPECT_EQ(flow.type, FlowType::kDropped);
    EXPECT_EQ(flow.source.name->pod, "cart-7d9-x2x");
    ASSERT_TRUE(flow.sent_by);
    EXPECT_EQ(flow.sent_by->pod, "mallory");
  });
  EXPECT_EQ(seen, 1);
}

TEST(FlowRecorder, WhoSendsWithItsOwnAddressIsNamedOnce) {
  FlowRecorder recorder(fixture::name_of, 3, fixture::clock(), [](std::uint32_t) {
    return &fixture::name_of(*Address::parse("10.244.0.5"));
  });
  feed(recorder, {.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_POD_UNKNOWN});
  recorder.last(1, {}, [](const Flow& flow) { EXPECT_FALSE(flow.sent_by); });
}

// VIP, a node's port, and a backend that a socket chose; then a flow that addressed no Service.
TEST(FlowRecorder, NamesTheServiceThatWasAddressed) {
  ServiceName payment{"shop", "payment", "http"};
  FlowRecorder recorder(fixture::name_of, 8, fixture::clock(), {}, [&](const Flow& flow) {
    return flow.service_id == 3 ? std::optional(payment) : std::nullopt;
  });
  for (const char* destination : {"10.96.3.4", "172.30.0.11", "10.244.1.7"}) {
    recorder.on_event(fixture::bytes(fixture::service_event({.destination = destination})));
  }
  payment.port = "https";
  recorder.on_event(fixture::bytes(fixture::service_event({.destination = "10.96.3.4"})));
  feed(recorder, {.destination = "10.96.3.4"});
  std::vector<NameKind> kinds;
  std::vector<std::string> services;
  recorder.last(8, {}, [&](const Flow& flow) {
    kinds.push_back(flow.destination.name->kind);
    services.push_back(flow.service ? flow.service->name + ":" + flow.service->port : "");
    if (!flow.service) return;
    EXPECT_EQ(flow.backend.name->pod, "payment-5f6-abc");
    EXPECT_EQ(flow.destination.name->namespace_, "shop");
  });
  using enum NameKind;
  EXPECT_EQ(kinds, (std::vector{kService, kService, kPod, kService, kOutside}));
  EXPECT_EQ(services, (std::vector<std::string>{"payment:http", "payment:http", "payment:http",
                                                "payment:https", ""}));
}

TEST(FlowRecorder, AFlowThatEndsAfterItsServiceStillNamesIt) {
  std::optional<ServiceName> payment = ServiceName{"shop", "payment", "http"};
  FlowRecorder recorder(fixture::name_of, 8, fixture::clock(), {},
                        [&](const Flow&) { return payment; });
  recorder.on_event(fixture::bytes(fixture::service_event({.destination = "10.96.3.4"})));
  payment.reset();
  weir_event ended = fixture::service_event({.type = WEIR_EVENT_ENDED, .destination = "10.96.3.4"});
  recorder.on_event(fixture::bytes(ended));
  ended.service = 4;
  recorder.on_event(fixture::bytes(ended));
  std::vector<std::string> services;
  recorder.last(
      8, {}, [&](const Flow& flow) { services.push_back(flow.service ? flow.service->name : ""); });
  EXPECT_EQ(services, (std::vector<std::string>{"payment", "payment", ""}));
  EXPECT_EQ(recorder.services().of({"shop", "payment"}).connections, 0U) << "is counted no more";
}

TEST(FlowRecorder, AFlowKeepsTheNameOfItsTime) {
  Name name{NameKind::kPod, "shop", "old", "w", "n0"};
  FlowRecorder recorder([&](const Address&) -> const Name& { return name; });
  feed(recorder, {});
  name.pod = "new";
  feed(recorder, {});
  std::vector<std::string> pods;
  recorder.last(2, {}, [&](const Flow& flow) { pods.push_back(flow.source.name->pod); });
  EXPECT_EQ(pods, (std::vector<std::string>{"old", "new"}));
}

TEST(FlowRecorder, SubscribersGetWhatTheyAskedForUntilTheyEnd) {
  FlowRecorder recorder(fixture::name_of);
  FlowFilter only_new;
  ASSERT_TRUE(only_new.add("type", "new"));
  int seen = 0;
  int once = 0;
  auto subscription = recorder.subscribe(only_new, [&](const Flow&) { ++seen; });
  std::unique_ptr<FlowRecorder::Subscription> ends_itself;
  ends_itself = recorder.subscribe({}, [&](const Flow&) {
    ++once;
    ends_itself.reset();
  });
  feed(recorder, {});
  feed(recorder, {.type = WEIR_EVENT_CLOSED});
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(once, 1);
  subscription.reset();
  feed(recorder, {});
  EXPECT_EQ(seen, 1);
}

TEST(FlowRecorder, ASubscriptionMayOutliveIt) {
  std::unique_ptr<FlowRecorder::Subscription> subscription;
  {
    FlowRecorder recorder(fixture::name_of);
    subscription = recorder.subscribe({}, [](const Flow&) {});
  }
  subscription.reset();
}

TEST(FlowRecorder, Counts) {
  FlowRecorder recorder(fixture::name_of, 1);
  feed(recorder, {});
  feed(recorder, {.type = WEIR_EVENT_CLOSED});
  feed(recorder, {.type = WEIR_EVENT_DROP, .protocol = 17, .reason = WEIR_DROP_NO_ROUTE});
  feed(recorder, {.type = WEIR_EVENT_DROP, .protocol = 99, .reason = 250});
  recorder.on_event({});
  const FlowCounts& counts = recorder.counts();
  EXPECT_EQ(counts.by_type[WEIR_EVENT_NEW], 1U);
  EXPECT_EQ(counts.forwarded(), 2U);
  EXPECT_EQ(counts.dropped(), 2U);
  EXPECT_EQ(counts.drops[WEIR_DROP_NO_ROUTE][FlowCounts::kUdp], 1U);
  EXPECT_EQ(counts.drops[WEIR_DROP_MAX][FlowCounts::kOther], 1U);
  EXPECT_EQ(counts.undecodable, 1U);
}

}  // namespace
}  // namespace weir
