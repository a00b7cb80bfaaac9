#include "dataplane/settings.h"

#include <gtest/gtest.h>

#include <functional>

namespace weir {
namespace {

TEST(Settings, DefaultsAreRight) { EXPECT_TRUE(check(Settings{})); }

TEST(Settings, WrongOnesAreNamed) {
  const struct {
    const char* name;
    std::function<void(Settings&)> spoil;
  } cases[] = {
      {"nat_port_min", [](Settings& s) { s.nat_port_max = 60000; }},
      {"nat_port_min", [](Settings& s) { s.nat_port_min = 0; }},
      {"tunnel_port", [](Settings& s) { s.tunnel_port = 0; }},
      {"tunnel_vni", [](Settings& s) { s.tunnel_vni = 1U << 24; }},
      {"mark_judged", [](Settings& s) { s.mark_judged = 1; }},
      {"mark_judged", [](Settings& s) { s.mark_judged = 0; }},
      {"ct_max", [](Settings& s) { s.ct_max = 0; }},
      {"endpoint_max", [](Settings& s) { s.endpoint_max = 0; }},
      {"route_max", [](Settings& s) { s.route_max = 0; }},
      {"events_bytes", [](Settings& s) { s.events_bytes = 4095; }},
      {"events_bytes", [](Settings& s) { s.events_bytes = 12288; }},
      {"node_port_min", [](Settings& s) { s.node_port_min = 0; }},
      {"node_port_min", [](Settings& s) { s.node_port_max = 29999; }},
      {"service_max", [](Settings& s) { s.service_max = 1; }},
      {"backend_max", [](Settings& s) { s.backend_max = 1; }},
      {"ring_max", [](Settings& s) { s.ring_max = 0; }},
      {"ring_max", [](Settings& s) { s.ring_max = 100'000; }},
      {"maglev_slots", [](Settings& s) { s.maglev_slots = 16384; }},
      {"maglev_slots", [](Settings& s) { s.maglev_slots = 127; }},
      {"affinity_max", [](Settings& s) { s.affinity_max = 0; }},
      {"source_range_max", [](Settings& s) { s.source_range_max = 0; }},
  };
  for (const auto& one : cases) {
    Settings settings;
    one.spoil(settings);
    const auto checked = check(settings);
    ASSERT_FALSE(checked) << one.name;
    EXPECT_EQ(checked.error().code(), Code::kInvalid);
    EXPECT_NE(checked.error().text().find(one.name), std::string::npos) << checked.error().text();
  }
}

TEST(Settings, AFullTableIsNamedWithTheFlagThatMakesRoom) {
  EXPECT_EQ(table_is_full("weir_endpoint", 7).text(),
            "map weir_endpoint is full: raise --endpoint-max");
  EXPECT_EQ(table_is_full("weir_srcrange", 7).text(),
            "map weir_srcrange is full: raise --source-range-max");
  EXPECT_EQ(table_is_full("weir_device", 7).text(), "map weir_device is full");
  EXPECT_EQ(table_is_full("weir_device", 7).saved_errno(), 7);
}

TEST(Settings, SwitchedOffTunnelNeedsNoPort) {
  Settings settings;
  settings.tunnel = 0;
  settings.tunnel_port = 0;
  EXPECT_TRUE(check(settings));
}

TEST(Settings, SwitchedOffServicesNeedNoTables) {
  Settings settings;
  settings.services = 0;
  settings.service_max = settings.backend_max = settings.ring_max = settings.maglev_slots = 0;
  EXPECT_TRUE(check(settings));
}

}  // namespace
}  // namespace weir
