#include "api/query.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir::api {
namespace {

TEST(ParseTarget, SplitsAndDecodes) {
  const auto query = parse_target("/v1/flows?pod=shop%2Fcart&&x&y=a+b%41");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->path, "/v1/flows");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"pod", "shop/cart"}, {"x", ""}, {"y", "a bA"}};
  EXPECT_EQ(query->parameters, expected);
  EXPECT_TRUE(parse_target("/")->parameters.empty());
}

TEST(ParseTarget, RefusesBadEscapesAndFloods) {
  for (const char* target : {"/?a=%", "/?a=%4", "/?a=%zz", "/?%=1"}) {
    EXPECT_FALSE(parse_target(target)) << target;
  }
  std::string flood = "/?";
  for (int i = 0; i < 65; ++i) flood += "a=1&";
  EXPECT_FALSE(parse_target(flood));
}

TEST(ParseFlows, WithoutFollowAndLastGivesAllThatIsRemembered) {
  const struct {
    const char* target;
    bool follow;
    std::size_t last;
  } cases[] = {
      {"/v1/flows", false, std::numeric_limits<std::size_t>::max()},
      {"/v1/flows?follow=1", true, 0},
      {"/v1/flows?follow=1&last=5", true, 5},
      {"/v1/flows?last=0", false, 0},
  };
  for (const auto& one : cases) {
    const auto request = parse_flows(*parse_target(one.target));
    ASSERT_TRUE(request) << one.target;
    EXPECT_EQ(request->follow, one.follow) << one.target;
    EXPECT_EQ(request->last, one.last) << one.target;
  }
}

TEST(ParseCapture, TakesEverythingAndKeepsBounds) {
  const auto request = parse_capture(*parse_target(
      "/v1/capture?pod=shop/cart&address=10.0.0.1&peer=fd00::1&port=1&peer_port=2&protocol=udp"
      "&snap=64&packets=3&bytes=4&seconds=5"));
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_EQ(request->pod->to_string(), "shop/cart");
  EXPECT_EQ(request->address->to_string(), "10.0.0.1");
  EXPECT_EQ(request->peer->to_string(), "fd00::1");
  EXPECT_EQ(request->protocol, 17);
  EXPECT_EQ(request->snap, 64);
  EXPECT_EQ(request->seconds, 5U);
  const auto bare = parse_capture(*parse_target("/v1/capture"));
  EXPECT_EQ(bare->packets, 1000U);
  EXPECT_EQ(bare->seconds, 30U);
}

TEST(Parameters, AreRefusedByName) {
  const struct {
    const char* target;
    const char* starts;
  } cases[] = {
      {"/v1/flows?colour=red", "colour: no such parameter"},
      {"/v1/flows?follow=yes", "follow: 'yes' is not a number from 0 to 1"},
      {"/v1/flows?last=-1", "last: '-1' is not"},
      {"/v1/flows?port=http", "port: 'http' is not a port"},
      {"/v1/capture?follow=1", "follow: no such parameter"},
      {"/v1/capture?packets=0", "packets: '0' is not"},
      {"/v1/capture?seconds=99999999999999999999", "seconds: '99999999999999999999' is not"},
      {"/v1/capture?pod=cart", "pod: 'cart' is not NAMESPACE/POD"},
      {"/v1/capture?address=10.0.0.0/8", "address: '10.0.0.0/8' is not an IPv4 or IPv6 address"},
      {"/v1/capture?protocol=0", "protocol: '0' is not"},
      {"/v1/capture?snap=4096", "snap: '4096' is not a number from 14 to 2048"},
      {"/v1/services?pod=x", "pod: no such parameter of /v1/services"},
      {"/v1/services?service=cart", "service: 'cart' is not NAMESPACE/SERVICE"},
  };
  for (const auto& one : cases) {
    const auto query = parse_target(one.target);
    ASSERT_TRUE(query) << one.target;
    const std::string text = query->path == "/v1/flows"      ? parse_flows(*query).error().text()
                             : query->path == "/v1/services" ? parse_services(*query).error().text()
                                                             : parse_capture(*query).error().text();
    EXPECT_TRUE(text.starts_with(one.starts)) << text;
  }
}

}  // namespace
}  // namespace weir::api
