#include "observe/flow.h"

#include <gtest/gtest.h>

#include <vector>

#include "observe/flow_fixture.h"
#include "observe/wall_clock.h"

namespace weir {
namespace {

TEST(DecodeEvent, TakesEveryField) {
  weir_event raw = fixture::event({.type = WEIR_EVENT_CLOSED, .flags = 3});
  raw.nat_addr = fixture::addr("172.30.0.10");
  raw.nat_port = htons(61000);
  raw.to_addr = fixture::addr("10.244.1.9");
  raw.to_port = htons(9090);
  raw.service = 70'000;
  raw.duration_ns = 1200;
  raw.packets[1] = 9;
  raw.bytes[0] = 1000;
  const Flow flow = *decode_event(fixture::bytes(raw));
  EXPECT_EQ(flow.type, FlowType::kClosed);
  EXPECT_EQ(flow.source.address.to_string(), "10.244.0.5");
  EXPECT_EQ(flow.source.port, 41234);
  EXPECT_EQ(flow.destination.address.to_string(), "10.244.1.7");
  EXPECT_EQ(flow.destination.port, 8080);
  EXPECT_EQ(flow.nat_address.to_string(), "172.30.0.10");
  EXPECT_EQ(flow.nat_port, 61000);
  EXPECT_EQ(flow.backend.address.to_string(), "10.244.1.9");
  EXPECT_EQ(flow.backend.port, 9090);
  EXPECT_EQ(flow.service_id, 70'000U);
  EXPECT_EQ(flow.duration_ns, 1200U);
  EXPECT_EQ(flow.packets[1], 9U);
  EXPECT_EQ(flow.bytes[0], 1000U);
  EXPECT_TRUE(flow.by_responder);
  EXPECT_TRUE(flow.reset);
  EXPECT_FALSE(flow.replied);
  EXPECT_FALSE(flow.icmp);
  EXPECT_EQ(flow.time_ns, 5'000'000'000);
}

TEST(DecodeEvent, ReadsIcmpTypeAndCodeInsteadOfPorts) {
  for (const std::uint8_t protocol : {std::uint8_t{1}, std::uint8_t{58}}) {
    const Flow flow = *decode_event(fixture::bytes(
        fixture::event({.source_port = 77, .destination_port = 0x0301, .protocol = protocol})));
    EXPECT_EQ(flow.icmp, (Icmp{3, 1}));
    EXPECT_EQ(flow.source.port, 0);
    EXPECT_EQ(flow.destination.port, 0);
  }
}

TEST(DecodeEvent, RefusesWhatIsNoEvent) {
  weir_event raw = fixture::event({});
  EXPECT_FALSE(decode_event({}));
  EXPECT_FALSE(decode_event(fixture::bytes(raw).first(sizeof raw - 1)));
  for (const int type : {0, int{WEIR_EVENTS}, 255}) {
    raw.type = static_cast<std::uint8_t>(type);
    EXPECT_FALSE(decode_event(fixture::bytes(raw))) << type;
  }
}

TEST(DecodeEvent, KeepsNumbersThatItDoesNotKnow) {
  weir_event raw = fixture::event({.type = WEIR_EVENT_DROP, .protocol = 200, .reason = 250});
  raw.hook = 99;
  raw.out = 98;
  const Flow flow = *decode_event(fixture::bytes(raw));
  EXPECT_EQ(drop_name(flow.reason), "UNKNOWN");
  EXPECT_EQ(ip_protocol_name(flow.protocol), "200");
  EXPECT_EQ(hook_name(flow.hook), "?");
  EXPECT_EQ(out_name(flow.out), "?");
}

TEST(FlowWords, AreReadBackInAnyCase) {
  for (const FlowType type : kFlowTypes) EXPECT_EQ(parse_flow_type(flow_type_name(type)), type);
  EXPECT_EQ(parse_verdict("DROPPED"), Verdict::kDropped);
  EXPECT_EQ(parse_drop("spoofed"), WEIR_DROP_SPOOFED);
  EXPECT_EQ(parse_ip_protocol("icmpv6"), 58);
  EXPECT_EQ(parse_ip_protocol("47"), 47);
  for (const char* text : {"", "256", "-1", "6x", "HTTP"}) EXPECT_FALSE(parse_ip_protocol(text));
  EXPECT_FALSE(parse_drop("NONE"));
}

TEST(WallClock, MeasuresAgainOnlyWhenTimeHasMovedOn) {
  std::int64_t distance = 100;
  int calls = 0;
  WallClock clock([&] {
    ++calls;
    return distance;
  });
  EXPECT_EQ(clock.wall_ns(1), 101);
  distance = 200;
  EXPECT_EQ(clock.wall_ns(2), 102);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(clock.wall_ns(1 + WallClock::kAgain), 201 + WallClock::kAgain);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace weir
