#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/status.h"

namespace weir::api {
namespace {

using testing::HasSubstr;

Status status() {
  Status made;
  made.node = "n0";
  made.version = "0.1.0";
  made.uptime_seconds = 61;
  made.attach = "clsact";
  made.attach_reason = "the setting clsact";
  made.adopted = true;
  made.gso_max_size = 65536;
  made.gso_limit = "eth0 takes packets of 65536 bytes";
  made.devices = {{"eth0", 2, 1500, "uplink", "native"}};
  made.other_programs = {{"eth0", "ingress", "clsact", "shaper", "after"}};
  made.pools = {{"10.244.0.0/24", 253, 3, 1}};
  made.maps = {{"weir_ct", 12, 65536}};
  made.hooks = {{"from_pod", 10, 1000, 7, 2, {{"SPOOFED", 1, {}}}},
                {"kernel", 3, 300, 0, 0, {{"QDISC_DROP", 3, {{"shop/cart-0", 2}}}}}};
  made.warnings = {"FORWARD has 3 rules that pods no longer meet"};
  return made;
}

TEST(StatusJson, IsReadBackAsItWasWritten) {
  const std::string json = to_json(status());
  const auto read = parse_status(json);
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(to_json(*read), json);
  EXPECT_EQ(read->hooks.at(0).drops.at(0).reason, "SPOOFED");
  EXPECT_EQ(read->gso_max_size, 65536U);
  EXPECT_EQ(read->gso_limit, "eth0 takes packets of 65536 bytes");
  EXPECT_EQ(read->other_programs.at(0).order, "after");
  EXPECT_EQ(read->hooks.at(1).drops.at(0).pods.at(0).packets, 2U);
  EXPECT_EQ(read->pools.at(0).resting, 1U);
  EXPECT_TRUE(read->adopted);
}

TEST(StatusJson, FieldsKeepTheirOrder) {
  EXPECT_THAT(to_json(Version{"0.1.0", "b1", "n0"}),
              R"({"version":"0.1.0","build_id":"b1","node":"n0"})");
}

TEST(EndpointsJson, IsReadBackAsItWasWritten) {
  const std::vector<EndpointInfo> endpoints = {{.namespace_ = "shop",
                                                .pod = "cart-0",
                                                .workload = "cart",
                                                .node = "n0",
                                                .addresses = {"10.244.0.5", "fd00::5"},
                                                .interface = "weir7",
                                                .ifindex = 7,
                                                .mac = "02:00:00:00:00:01",
                                                .container_id = "abc"}};
  const auto read = parse_endpoints(to_json(endpoints));
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(to_json(*read), to_json(endpoints));
  EXPECT_EQ(to_json(std::vector<EndpointInfo>()), "[]");
}

TEST(StatusJson, NonsenseIsRefusedWithItsPlace) {
  for (const char* text : {"", "[]", "{}", "{\"node\":5}", "nul"}) {
    const auto read = parse_status(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), Code::kInvalid);
    EXPECT_THAT(read.error().text(), HasSubstr("status: "));
  }
}

TEST(ErrorJson, SurvivesAnyBytes) {
  EXPECT_EQ(parse_error_text(error_json("say \"no\"")), "say \"no\"");
  EXPECT_EQ(parse_error_text(error_json("\xff")), "\uFFFD");
  EXPECT_EQ(parse_error_text("plain"), "plain");
}

}  // namespace
}  // namespace weir::api
