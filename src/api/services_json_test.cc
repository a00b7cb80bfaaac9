#include <gtest/gtest.h>

#include "api/services.h"

namespace weir::api {
namespace {

TEST(ServiceJson, IsReadBackAsItWasWritten) {
  ServiceInfo made;
  made.node = "n0";
  made.namespace_ = "shop";
  made.name = "cart";
  made.type = "LoadBalancer";
  made.health = {32100, 2, "Address already in use"};
  ServiceBackendInfo backend;
  backend.address = "fd00::5";
  backend.port = 8080;
  backend.pod = "cart-0";
  backend.serving = true;
  backend.weight = 3;
  backend.unused_local = "other node";
  backend.connections = 12;
  made.ports = {{"http", "TCP", "IPv6", 70'000, {{"NodePort", "*", 30080, "Local"}}, {backend}}};
  made.traffic.bytes_out = UINT64_MAX;
  made.notes = {"externalIPs are off"};
  const std::string json = to_json(made);
  const auto read = parse_service(json);
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(to_json(*read), json);
  EXPECT_EQ(read->ports.at(0).backends.at(0).unused_local, "other node");
  EXPECT_EQ(read->health.port, 32100);
  EXPECT_EQ(read->traffic.bytes_out, UINT64_MAX);
}

TEST(ServiceJson, WhatIsNoServiceIsInvalid) {
  for (const char* text : {"", "{}", "[]", R"({"node":7})"}) {
    const auto read = parse_service(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code(), Code::kInvalid);
  }
}

}  // namespace
}  // namespace weir::api
