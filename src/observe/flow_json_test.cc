#include "observe/flow_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "observe/flow_fixture.h"

namespace weir {
namespace {

using nlohmann::json;

json line(const Flow& flow) {
  std::string text;
  append_flow_json(text, flow, "n0");
  EXPECT_TRUE(text.ends_with("}\n"));
  return json::parse(text);
}

TEST(FlowJson, ForwardedFlow) {
  const json got = line(fixture::flow({}));
  const json expected = json::parse(R"({
    "time":"1970-01-01T00:16:45.000000000Z","node":"n0","type":"new","verdict":"forwarded",
    "protocol":"TCP","hook":"from_pod","out":"local",
    "source":{"kind":"pod","address":"10.244.0.5","port":41234,"namespace":"shop",
              "pod":"cart-7d9-x2x","workload":"cart","node":"n0"},
    "destination":{"kind":"pod","address":"10.244.1.7","port":8080,"namespace":"shop",
                   "pod":"payment-5f6-abc","workload":"payment","node":"n1"},
    "packets":[0,0],"bytes":[0,0],"duration_ns":0})");
  EXPECT_EQ(got, expected);
}

TEST(FlowJson, DropSaysWhy) {
  const json got = line(fixture::flow({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED}));
  EXPECT_EQ(got["verdict"], "dropped");
  EXPECT_EQ(got["drop_reason"]["name"], "SPOOFED");
  EXPECT_EQ(got["drop_reason"]["text"], drop_text(WEIR_DROP_SPOOFED));
  EXPECT_EQ(got["length"], 74);
  EXPECT_FALSE(got.contains("packets"));
}

TEST(FlowJson, ClosedEndedTranslatedAndIcmp) {
  weir_event raw = fixture::event({.type = WEIR_EVENT_CLOSED, .flags = WEIR_EVENT_BY_RESPONDER});
  raw.packets[0] = UINT64_MAX;
  raw.nat_addr = fixture::addr("fd00::10");
  raw.nat_port = htons(61000);
  json got = line(fixture::named(raw));
  EXPECT_EQ(got["closed_by"], "destination");
  EXPECT_EQ(got["reset"], false);
  EXPECT_EQ(got["packets"][0], UINT64_MAX);
  EXPECT_EQ(got["translated_source"], json::parse(R"({"address":"fd00::10","port":61000})"));

  got = line(fixture::flow({.type = WEIR_EVENT_ENDED, .flags = WEIR_EVENT_REPLIED}));
  EXPECT_EQ(got["replied"], true);
  EXPECT_EQ(got["seen_closed"], false);

  got = line(fixture::flow({.source_port = 9, .destination_port = 8 << 8, .protocol = 1}));
  EXPECT_EQ(got["icmp"], json::parse(R"({"type":8,"code":0})"));
  EXPECT_FALSE(got["source"].contains("port"));
}

TEST(FlowJson, ServiceAndTheBackendBehindIt) {
  const json got =
      line(fixture::service_flow({.destination = "10.96.3.4", .destination_port = 80}));
  EXPECT_EQ(got["destination"]["address"], "10.96.3.4");
  EXPECT_EQ(got["translated_destination"], json::parse(R"({
      "kind":"pod","address":"10.244.1.7","port":8080,"namespace":"shop","pod":"payment-5f6-abc",
      "workload":"payment","node":"n1"})"));
  EXPECT_EQ(got["service"], json::parse(R"({"namespace":"shop","name":"payment","port":"http"})"));
  const json direct = line(fixture::flow({}));
  EXPECT_FALSE(direct.contains("service"));
  EXPECT_FALSE(direct.contains("translated_destination"));
}

TEST(FlowJson, TimesBeforeAndAroundAFullSecond) {
  for (const auto& [time, text] : std::map<std::int64_t, std::string>{
           {-1, "1969-12-31T23:59:59.999999999Z"},
           {0, "1970-01-01T00:00:00.000000000Z"},
           {1'763'951'400'123'456'789, "2025-11-24T02:30:00.123456789Z"}}) {
    Flow flow = fixture::flow({});
    flow.time_ns = time;
    EXPECT_EQ(line(flow)["time"], text);
  }
}

// Every string comes out as one that a JSON parser reads as the same text, if it was UTF-8.
TEST(AppendJsonString, IsReadBackByAJsonParser) {
  std::string controls;
  for (char c = 0; c < 0x20; ++c) controls += c;
  for (const std::string& text :
       {std::string(), std::string("plain"), std::string("\"\\/"), controls, std::string("\x7f"),
        std::string("ü€😀"), std::string("a\0b", 3)}) {
    std::string out;
    append_json_string(out, text);
    EXPECT_EQ(json::parse(out).get<std::string>(), text);
  }
}

TEST(AppendJsonString, ReplacesWhatIsNotUtf8) {
  for (const std::string text :
       {"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xff", "x\xc3"}) {
    std::string out;
    append_json_string(out, text);
    const auto read = json::parse(out).get<std::string>();
    EXPECT_NE(read.find("\uFFFD"), std::string::npos);
  }
}

}  // namespace
}  // namespace weir
