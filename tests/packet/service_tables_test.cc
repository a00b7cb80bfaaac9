// The agent's Service tables in real maps: what it writes is what the programs find.
#include <algorithm>
#include <fstream>
#include <set>

#include "harness/services.h"

namespace weir {
namespace {

constexpr std::array kMaps = {"weir_service",   "weir_set",      "weir_backend", "weir_ring",
                              "weir_ring_slot", "weir_affinity", "weir_srcrange"};

class ServiceMapsTest : public PacketTest {
 protected:
  ServicePortKey key(const char* name) const {
    return {.object = {"shop", name}, .port = "", .protocol = Protocol::kUdp, .family = GetParam()};
  }
  ServicePortEntries cluster_ip(std::uint16_t port, std::uint16_t backends) const {
    ServicePortEntries out;
    out.frontends = {{.address = cast().vip, .port = port}};
    for (std::uint16_t i = 0; i < backends; ++i)
      out.cluster.push_back(
          {.address = cast().pod_b, .port = static_cast<std::uint16_t>(8080 + i)});
    return out;
  }
  // Ports of the backends that so many clients of vip:port get; empty: they are refused.
  std::set<int> reached(std::uint16_t port, int clients = 40) {
    std::set<int> out;
    for (int i = 0; i < clients; ++i) {
      const Outcome sent =
          bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / udp(next_client_++, port));
      const auto wire = Wire::parse(sent.frame);
      if (wire && wire->ip_dst == cast().pod_b) out.insert(*wire->dst_port);
    }
    return out;
  }

 private:
  std::uint16_t next_client_ = 20000;
};

TEST_P(ServiceMapsTest, WhatIsAppliedIsServed) {
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}});
  EXPECT_EQ(reached(80), (std::set{8080, 8081, 8082}));
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 1)}});
  EXPECT_EQ(reached(80), std::set{8080});
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 0)}});
  EXPECT_TRUE(reached(80, 1).empty());
  bed().plane().apply_services({{key("cart"), {}}});
  EXPECT_TRUE(reached(80, 1).empty());
}

TEST_P(ServiceMapsTest, AStartingAgentTakesOverWhatIsThere) {
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}, {key("web"), cluster_ip(81, 2)}});
  const auto id = bed().plane().service_tables().id_of(key("cart"));
  bed().restart();
  EXPECT_EQ(reached(80).size(), 3u) << "nothing is gone before the first list";
  EXPECT_FALSE(bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}}).changed);
  EXPECT_EQ(bed().plane().service_tables().id_of(key("cart")), id);
  bed().plane().prune_services();
  EXPECT_EQ(reached(80).size(), 3u);
  EXPECT_TRUE(reached(81, 1).empty());
  EXPECT_EQ(bed().plane().service_tables().use().rows, 1u);
}

TEST_P(ServiceMapsTest, WhatDoesNotFitIsRefusedAndTheRestIsServed) {
  BedOptions options = small();
  options.settings.service_max = 3;
  options.settings.backend_max = 8;
  start(options);
  auto& plane = bed().plane();
  plane.apply_services({{key("a"), cluster_ip(80, 3)}, {key("b"), cluster_ip(81, 1)}});
  const auto rows = plane.apply_services({{key("c"), cluster_ip(82, 1)}});
  ASSERT_EQ(rows.refused.size(), 1u);
  EXPECT_NE(rows.refused[0].find("--service-max"), std::string::npos) << rows.refused[0];
  const auto backends = plane.apply_services({{key("a"), cluster_ip(80, 7)}});
  ASSERT_EQ(backends.refused.size(), 1u);
  EXPECT_NE(backends.refused[0].find("--backend-max"), std::string::npos) << backends.refused[0];
  EXPECT_EQ(reached(80).size(), 3u);
  EXPECT_EQ(reached(81).size(), 1u);
  const auto use = plane.map_use(0);
  EXPECT_TRUE(std::ranges::any_of(use, [](const MapUse& one) {
    return one.name == "weir_backend" && one.entries == 4 && one.capacity == 8;
  }));
}

TEST_P(ServiceMapsTest, AnotherCapacityCostsNoService) {
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}});
  Settings settings = small().settings;
  settings.backend_max = 4096;  // the array is made anew, the rows stay
  bed().restart(settings);
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}});
  const Fd program = bed().pinned_program("from_pod");
  Bytes frame = (eth() / ip(cast().pod_a, cast().vip) / udp(1, 80)).bytes();
  Bytes out(frame.size());
  EXPECT_EQ(bed().run_fast(program.get(), kLinkA, frame, out), kRedirect);
  EXPECT_EQ(Wire::parse(out)->ip_dst, cast().pod_b);
}

TEST_P(ServiceMapsTest, SwitchedOffTheyAreNotThere) {
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}});
  Settings settings = small().settings;
  settings.services = false;
  bed().restart(settings);
  for (const char* map : kMaps) EXPECT_LT(bed().pinned_map(map), 0) << map;
  bed().restart(small().settings);
  for (const char* map : kMaps) EXPECT_GE(bed().pinned_map(map), 0) << map;
  EXPECT_EQ(bed().plane().service_tables().use().rows, 0u);
}

std::uint64_t file_kilobytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::uint64_t value = 0;
  while (status >> word) {
    if (word == "RssFile:" && status >> value) return value;
  }
  return 0;
}

TEST_P(ServiceMapsTest, UntouchedTablesCostNoMemory) {
  const std::uint64_t before = file_kilobytes();
  bed().plane().apply_services({{key("cart"), cluster_ip(80, 3)}});
  const std::uint64_t after = file_kilobytes();
  EXPECT_LE(after - before, 1024u) << "of 50 MB";
  EXPECT_EQ(reached(80).size(), 3u);
}

WEIR_BOTH_FAMILIES(ServiceMapsTest);

}  // namespace
}  // namespace weir
