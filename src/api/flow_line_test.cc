#include "api/flow_line.h"

#include <gtest/gtest.h>

#include "observe/flow_fixture.h"
#include "observe/flow_json.h"

namespace weir::api {
namespace {

std::string line(const Flow& flow) {
  std::string out;
  append_flow_json(out, flow, "n0");
  return out;
}

// Every type of flow comes back as it went.
TEST(FlowLine, RoundTrip) {
  weir_event translated = fixture::event({.type = WEIR_EVENT_CLOSED, .flags = 3});
  translated.nat_addr = fixture::addr("172.30.0.10");
  translated.nat_port = htons(61000);
  translated.bytes[1] = 12345;
  translated.duration_ns = 99;
  weir_event kernel = fixture::event({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_KERNEL});
  kernel.hook = WEIR_HOOK_KERNEL;
  Flow by_kernel = fixture::named(kernel);
  by_kernel.kernel_reason_name = "A_LATER_ONE";
  const Flow flows[] = {
      fixture::flow({}),
      fixture::flow({.type = WEIR_EVENT_ESTABLISHED}),
      fixture::named(translated),
      fixture::service_flow({.destination = "10.96.3.4", .destination_port = 80}),
      fixture::flow({.type = WEIR_EVENT_ENDED, .flags = 12}),
      fixture::flow({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED}),
      by_kernel,
      fixture::flow({.destination = "172.30.0.11", .destination_port = 0x0800, .protocol = 1}),
      fixture::flow({.source = "fd00::5", .destination = "2001:db8::1", .protocol = 89}),
  };
  for (const Flow& flow : flows) {
    const auto read = parse_flow_line(line(flow));
    ASSERT_TRUE(read) << read.error().text();
    const auto& back = std::get<FlowLine>(*read);
    EXPECT_EQ(back.node, "n0");
    EXPECT_EQ(line(back.flow), line(flow));
  }
}

TEST(FlowLine, Lost) {
  const auto read = parse_flow_line(R"({"type":"lost","node":"n1","count":7})");
  ASSERT_TRUE(read);
  EXPECT_EQ(std::get<LostLine>(*read).count, 7U);
  EXPECT_EQ(std::get<LostLine>(*read).node, "n1");
}

TEST(FlowLine, NonsenseIsAnError) {
  std::string cut = line(fixture::flow({}));
  for (; !cut.empty(); cut.resize(cut.size() / 2)) {
    if (cut.size() < 100) {
      EXPECT_FALSE(parse_flow_line(cut)) << cut;
    }
  }
  for (const char* text : {"", "{}", "[]", R"({"type":"lost"})", R"({"type":"new"})"}) {
    EXPECT_FALSE(parse_flow_line(text)) << text;
  }
}

}  // namespace
}  // namespace weir::api
