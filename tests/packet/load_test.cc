// The gate: every program loads with every setting off, on and at its limits, and stays small.
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <map>

#include "harness/bed.h"

namespace weir {
namespace {

constexpr std::uint32_t kMostInstructions = 30'000;

// Every program that the kernel has of this bed, stages included: those of the stage tables and
// pins.
std::map<std::string, std::uint32_t> verified_instructions(const Bed& bed) {
  std::map<std::string, std::uint32_t> found;
  const auto add = [&](int fd) {
    bpf_prog_info info{};
    __u32 size = sizeof info;
    if (fd >= 0 && bpf_prog_get_info_by_fd(fd, &info, &size) == 0) {
      found[info.name] = info.verified_insns;
    }
  };
  for (const weir_hook hook :
       {WEIR_HOOK_FROM_POD, WEIR_HOOK_TO_POD, WEIR_HOOK_FROM_NET, WEIR_HOOK_TO_NET}) {
    add(bed.program(hook));
  }
  for (const char* name : {"weir_stages_in", "weir_stages_out", "sweep"}) {
    const Fd pin = bed.pinned_program(name);
    if (std::string(name) == "sweep") {
      add(pin.get());
      continue;
    }
    for (std::uint32_t stage = 0; stage < WEIR_STAGES; ++stage) {
      __u32 id = 0;
      if (bpf_map_lookup_elem(pin.get(), &stage, &id) == 0)
        add(Fd(bpf_prog_get_fd_by_id(id)).get());
    }
  }
  for (const SocketProgram& program : kSocketPrograms) add(bed.pinned_program(program.name).get());
  for (const char* name : {"sock_find", "sock_end", "xdp", "kernel_drop"})
    add(bed.pinned_program(name).get());
  return found;
}

struct Variant {
  const char* name;
  void (*set)(Settings&);
};

constexpr Variant kVariants[] = {
    {"Defaults", [](Settings& s) { s = Settings(); }},
    {"TunnelOff", [](Settings& s) { s.tunnel = false; }},
    {"MasqueradeOff", [](Settings& s) { s.masquerade = false; }},
    {"FlowEventsOff", [](Settings& s) { s.flow_events = false; }},
    {"ServicesOff", [](Settings& s) { s.services = false; }},
    {"Xdp", [](Settings& s) { s.xdp = true; }},
    {"XdpWithoutTunnel",
     [](Settings& s) {
       s.xdp = true;
       s.tunnel = false;
     }},
    {"XdpWithoutServicesIsOff",
     [](Settings& s) {
       s.xdp = true;
       s.services = false;
     }},
    {"Clsact", [](Settings& s) { s.clsact = true; }},
    {"KernelDropsOff", [](Settings& s) { s.kernel_drops = false; }},
    {"SocketsOff", [](Settings& s) { s.socket_services = false; }},
    {"AllOff", [](Settings& s) { s.tunnel = s.masquerade = s.flow_events = s.services = false; }},
    {"Tiny",
     [](Settings& s) {
       s.ct_max = s.endpoint_max = s.route_max = 16;
       s.events_bytes = 4096;
       s.nat_port_min = s.nat_port_max = 65535;
     }},
    {"Large",
     [](Settings& s) {
       s.ct_max = 1 << 20;
       s.endpoint_max = 1 << 16;
       s.route_max = 1 << 20;
       s.events_bytes = 1 << 26;
       s.nat_port_min = 1;
       s.nat_port_max = 65535;
     }},
    {"Marks", [](Settings& s) { s.mark_mask = s.mark_judged = 0x80000000; }},
};

class Load : public testing::TestWithParam<Variant> {};

TEST_P(Load, EveryProgramIsSmallAndForwards) {
  BedOptions options = small();
  GetParam().set(options.settings);
  Bed bed(options);
  const auto programs = verified_instructions(bed);
  const std::size_t sockets = options.settings.has_sockets() ? kSocketProgramCount + 2 : 0;
  const std::size_t xdp = options.settings.has_xdp() ? 1 : 0;
  const std::size_t kernel_drop = options.settings.kernel_drops ? 1 : 0;
  EXPECT_EQ(programs.size(), 5 + 2 * std::size_t{WEIR_STAGES} + sockets + xdp + kernel_drop);
  for (const auto& [name, instructions] : programs) {
    std::printf("  %-20s %u\n", name.c_str(), instructions);
    EXPECT_LE(instructions, kMostInstructions) << name;
    EXPECT_GT(instructions, 0u) << name;
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Cast& cast = cast_of(family);
    const Outcome out = bed.from_pod(kLinkA, eth() / ip(cast.pod_a, cast.pod_b) / udp(1, 2));
    EXPECT_EQ(out.verdict, kRedirect);
    EXPECT_EQ(out.events.empty(), options.settings.flow_events == 0);
    EXPECT_EQ(bed.from_pod(kLinkB, eth() / ip(cast.pod_a, cast.pod_b) / udp(1, 2)).verdict,
              kDropped);
    EXPECT_EQ(bed.from_pod(kLinkA, eth() / ip(cast.pod_a, cast.outside) / udp(1, 2)).verdict,
              kRedirect);
    bed.from_pod(kLinkA, eth() / ip(cast.pod_a, cast.pod_r) / udp(1, 2));
    bed.to_nic(eth() / ip(cast.node, cast.outside) / udp(1, 2));
    bed.to_pod(kLinkA, eth() / ip(cast.node, cast.pod_a) / udp(1, 2));
  }
  EXPECT_TRUE(bed.adds_up());
}

INSTANTIATE_TEST_SUITE_P(, Load, testing::ValuesIn(kVariants),
                         [](const testing::TestParamInfo<Variant>& variant) {
                           return std::string(variant.param.name);
                         });

class Stage : public PacketTest {};

TEST_P(Stage, AMissingOneIsADrop) {
  const Fd table = bed().pinned_program("weir_stages_in");
  const std::uint32_t connect = WEIR_STAGE_CONNECT;
  ASSERT_EQ(bpf_map_delete_elem(table.get(), &connect), 0);
  EXPECT_EQ(bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(1, 2)).reason(),
            WEIR_DROP_NO_STAGE);
}

WEIR_BOTH_FAMILIES(Stage);

}  // namespace
}  // namespace weir
