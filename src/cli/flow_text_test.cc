#include "cli/flow_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/table.h"
#include "observe/flow_fixture.h"

namespace weir::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string text(const weir_event& raw) {
  setenv("TZ", "UTC", 1);
  return flow_text(fixture::named(raw), "n0", {});
}

TEST(FlowText, ReadsLikeASentence) {
  constexpr const char* kEnds = "shop/cart-7d9-x2x:41234 → shop/payment-5f6-abc:8080  TCP";
  weir_event raw = fixture::event({});
  EXPECT_EQ(text(raw), std::string("00:16:45.000  n0   + new          ") + kEnds +
                           "  to a pod on this node\n");
  raw.type = WEIR_EVENT_ESTABLISHED;
  raw.duration_ns = 200'000;
  EXPECT_EQ(text(raw),
            std::string("00:16:45.000  n0   ✓ established  ") + kEnds + "  handshake 0.2 ms\n");
  raw.type = WEIR_EVENT_CLOSED;
  raw.duration_ns = 120'000'000;
  raw.bytes[0] = 5210;
  raw.bytes[1] = 900;
  EXPECT_EQ(text(raw), std::string("00:16:45.000  n0   - closed       ") + kEnds +
                           "  5.2 kB ↑ 900 B ↓, 120 ms, closed by source\n");
  raw.flags = WEIR_EVENT_BY_RESPONDER | WEIR_EVENT_RESET;
  EXPECT_THAT(text(raw), HasSubstr("reset by destination"));
}

TEST(FlowText, DropsTellWhyAndWhere) {
  EXPECT_THAT(text(fixture::event({.type = WEIR_EVENT_DROP,
                                   .destination = "10.9.9.9",
                                   .destination_port = 53,
                                   .protocol = 17,
                                   .reason = WEIR_DROP_NO_ROUTE})),
              HasSubstr("✗ dropped      shop/cart-7d9-x2x:41234 → 10.9.9.9:53  UDP  "
                        "no route to the destination (NO_ROUTE, at from_pod)\n"));
}

TEST(FlowText, IcmpNodesTranslationAndIpv6) {
  EXPECT_THAT(text(fixture::event(
                  {.destination = "172.30.0.11", .destination_port = 0x0800, .protocol = 1})),
              HasSubstr("shop/cart-7d9-x2x → node n1  ICMP echo request"));
  weir_event raw = fixture::event({.destination = "2001:db8::1", .destination_port = 443});
  raw.nat_addr = fixture::addr("fd00::10");
  raw.nat_port = htons(61000);
  raw.out = WEIR_OUT_DIRECT;
  EXPECT_THAT(text(raw),
              HasSubstr("→ [2001:db8::1]:443  TCP  by the network, as [fd00::10]:61000"));
  EXPECT_EQ(icmp_text(58, {1, 4}), "port unreachable");
  EXPECT_EQ(icmp_text(58, {200, 9}), "type 200 code 9");
}

TEST(FlowText, NamesTheServiceAndTheBackendBehindIt) {
  setenv("TZ", "UTC", 1);
  const Flow flow = fixture::service_flow({.destination = "10.96.3.4", .destination_port = 80});
  EXPECT_THAT(flow_text(flow, "n0", {}),
              HasSubstr("shop/cart-7d9-x2x:41234 → shop/payment (service, 10.96.3.4:80 → "
                        "shop/payment-5f6-abc:8080)  TCP"));
  Flow dropped = fixture::flow({.type = WEIR_EVENT_DROP,
                                .destination = "fd00:96::4",
                                .destination_port = 80,
                                .reason = WEIR_DROP_SERVICE_NO_BACKEND});
  dropped.service = flow.service;
  EXPECT_THAT(
      flow_text(dropped, "n0", {}),
      HasSubstr("→ shop/payment (service, [fd00:96::4]:80)  TCP  the Service has no backend "
                "that may be used (SERVICE_NO_BACKEND, at from_pod)"));
  Flow at_socket = fixture::flow({});
  at_socket.service = flow.service;
  EXPECT_THAT(flow_text(at_socket, "n0", {}),
              HasSubstr("→ shop/payment (service → shop/payment-5f6-abc:8080)  TCP"));
  Flow no_port = fixture::flow({.destination = "10.96.3.4", .destination_port = 81});
  no_port.destination.name = std::make_shared<const Name>(
      Name{.kind = NameKind::kService, .namespace_ = "shop", .service = "payment"});
  EXPECT_THAT(flow_text(no_port, "n0", {}), HasSubstr("→ shop/payment (service, 10.96.3.4:81)"));
}

TEST(FlowText, ColoursOnlyWhenAsked) {
  const Flow flow = fixture::flow({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED});
  EXPECT_THAT(flow_text(flow, "n0", {.colour = true}), HasSubstr("\x1b[31m"));
  EXPECT_THAT(flow_text(flow, "n0", {.colour = false}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(flow_text(flow, "n0", {.node = false}), Not(HasSubstr("n0")));
  EXPECT_THAT(lost_text("n1", 7, {}), HasSubstr("7 flows of n1 were not shown"));
}

TEST(Table, PadsByWhatIsSeen) {
  EXPECT_EQ(table({{"A", "B"}, {"µs", "x"}, {"longer"}}, " "), " A       B\n µs      x\n longer\n");
}

TEST(Numbers, AreShort) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(5249), "5.2 kB");
  EXPECT_EQ(bytes_text(999'960), "1.0 MB");
  EXPECT_EQ(bytes_text(UINT64_MAX), "18.4 EB");
  EXPECT_EQ(duration_text(0), "0 µs");
  EXPECT_EQ(duration_text(99'000), "99 µs");
  EXPECT_EQ(duration_text(1'200'000), "1.2 ms");
  EXPECT_EQ(duration_text(120'000'000), "120 ms");
  EXPECT_EQ(duration_text(1'500'000'000), "1.5 s");
  EXPECT_EQ(duration_text(600'000'000'000), "10 min");
  EXPECT_EQ(uptime_text(59), "59 s");
  EXPECT_EQ(uptime_text(90061), "1 d 1 h");
  EXPECT_EQ(count_text(1234567), "1 234 567");
  EXPECT_EQ(count_text(12), "12");
}

}  // namespace
}  // namespace weir::cli
