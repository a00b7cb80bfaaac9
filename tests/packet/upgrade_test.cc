// A build with another connection table takes over: rows are taken along, and what the programs of
// before still meet is judged by the new table.
#include <bpf/bpf.h>

#include "harness/bed.h"

namespace weir {
namespace {

constexpr std::uint32_t kMostInstructions = 30'000;
constexpr std::uint16_t kPort = 5000;  // outside the range of translated ones

Settings with_connections(std::uint32_t max) {
  Settings settings = small().settings;
  settings.ct_max = max;
  return settings;
}

class Upgrade : public PacketTest {
 protected:
  Packet question(std::uint16_t port, int flags = ACK) {
    return eth() / ip(cast().pod_a, cast().outside) / tcp(port, 443, flags);
  }
  Packet answer(std::uint16_t port, int flags = ACK) {
    return eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / tcp(443, port, flags);
  }
  static std::uint16_t source_port(const Bytes& frame) {
    const auto wire = Wire::parse(frame);
    return wire && wire->src_port ? *wire->src_port : 0;
  }
  // Both have spoken; the port that the world sees.
  std::uint16_t open(std::uint16_t port) {
    const std::uint16_t seen = source_port(bed().from_pod(kLinkA, question(port, SYN)).frame);
    EXPECT_EQ(bed().from_nic(answer(seen, SYN | ACK)).verdict, kRedirect);
    return seen;
  }
  std::optional<weir_ct> books(std::uint16_t port) {
    return bed().connection(cast().pod_a, port, cast().outside, 443, 6);
  }
  std::uint64_t packets(std::uint16_t port) {
    const auto found = books(port);
    return found ? found->packets[0] + found->packets[1] : 0;
  }
};

TEST_P(Upgrade, TranslatedConnectionsLiveOn) {
  const std::uint16_t seen = open(kPort);
  const weir_ct before = books(kPort).value();
  for (const std::uint32_t size : {4096, 512}) {
    bed().restart(with_connections(size));
    EXPECT_TRUE(bed().plane().warnings().empty());
    ASSERT_EQ(bed().plane().notes().size(), 1u);
    EXPECT_NE(bed().plane().notes()[0].find("map weir_ct"), std::string::npos);
    EXPECT_NE(bed().plane().notes()[0].find("2 rows"), std::string::npos);
    const weir_ct after = books(kPort).value();
    EXPECT_EQ(after.flags | WEIR_CT_OPENING, before.flags) << "its opener says more below";
    EXPECT_EQ(after.created_ns, before.created_ns);
    EXPECT_EQ(after.replied_ns, before.replied_ns);
    const std::uint64_t counted = packets(kPort);
    const Outcome out = bed().from_pod(kLinkA, question(kPort));
    EXPECT_EQ(source_port(out.frame), seen);
    EXPECT_TRUE(out.events.empty());
    EXPECT_EQ(packets(kPort), counted + 1);
    const Outcome in = bed().from_nic(answer(seen));
    EXPECT_TRUE(same_packet(
        in.frame,
        eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / tcp(443, kPort, ACK)));
  }
  EXPECT_EQ(packets(kPort), 3u);
}

TEST_P(Upgrade, WhatProgramsOfBeforeDoNotKnowTheyHandOn) {
  const std::uint16_t known = open(kPort);
  const Fd from_pod = bed().pinned_program("from_pod");
  const Fd from_net = bed().pinned_program("from_net");
  const Fd to_pod = bed().pinned_program("to_pod");
  const Fd to_net = bed().pinned_program("to_net");
  bed().restart(with_connections(4096));
  Bytes out;
  EXPECT_EQ(bed().run_fast(from_pod.get(), kLinkA, question(kPort + 1, SYN).bytes(), out),
            kRedirect);
  const std::uint16_t seen = source_port(out);
  EXPECT_EQ(packets(kPort + 1), 1u) << "it is in the table that is pinned";
  EXPECT_EQ(bed().run_fast(from_net.get(), kUplink, answer(seen, SYN | ACK).bytes(), out),
            kRedirect);
  EXPECT_EQ(Wire::parse(out)->ip_dst, cast().pod_a);

  EXPECT_EQ(bed().run_fast(from_pod.get(), kLinkA, question(kPort).bytes(), out), kRedirect);
  EXPECT_EQ(source_port(out), known);
  EXPECT_EQ(packets(kPort), 2u) << "nor do they count in their own";
  EXPECT_EQ(bed().run_fast(from_net.get(), kUplink, answer(known).bytes(), out), kRedirect);

  const Bytes probe = (eth() / ip(cast().node, cast().pod_a) / tcp(kPort, 80, SYN)).bytes();
  EXPECT_EQ(bed().run_fast(to_pod.get(), kLinkA, probe, out), kNext);
  EXPECT_TRUE(bed().connection(cast().node, kPort, cast().pod_a, 80, 6));
  const Bytes own = (eth() / ip(cast().node, cast().outside) / tcp(kPort, 80, SYN)).bytes();
  EXPECT_EQ(bed().run_fast(to_net.get(), kUplink, own, out), kNext);
  const Bytes error =
      (eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) / port_unreachable(GetParam()) /
       quote(eth() / ip(cast().node, cast().outside) / tcp(seen, 443, ACK)))
          .bytes();
  EXPECT_EQ(bed().run_fast(from_net.get(), kUplink, error, out), kRedirect);
}

// Both builds' programs read it, and the bytes it brings have come once.
TEST_P(Upgrade, AFragmentThatIsHandedOnDoesNotOverlapItself) {
  const Fd from_pod = bed().pinned_program("from_pod");
  bed().restart(with_connections(4096));
  const Packet whole = eth() / ip(cast().pod_a, cast().pod_b) / udp(kPort, 53) / payload(200);
  Bytes out;
  for (const Bytes& part : fragments(whole, 7, 64, 64))
    EXPECT_EQ(bed().run_fast(from_pod.get(), kLinkA, part, out), kRedirect);
  EXPECT_EQ(bed().run_fast(from_pod.get(), kLinkA, fragments(whole, 7, 64, 64)[1], out), kDropped);
}

TEST_P(Upgrade, ASmallerTableKeepsTranslatedOnes) {
  for (std::uint16_t port = 1; port <= 40; ++port)
    bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(port, 53));
  const std::uint16_t seen = open(kPort);
  for (std::uint16_t port = 41; port <= 80; ++port)
    bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(port, 53));
  bed().restart(with_connections(16));
  ASSERT_EQ(bed().plane().warnings().size(), 1u);
  EXPECT_NE(bed().plane().warnings()[0].find("66 of its 82 rows are lost"), std::string::npos)
      << bed().plane().warnings()[0];
  EXPECT_EQ(source_port(bed().from_pod(kLinkA, question(kPort)).frame), seen);
  EXPECT_EQ(bed().from_nic(answer(seen)).verdict, kRedirect);
}

TEST_P(Upgrade, HeirsAreSmall) {
  const Fd before = bed().pinned_program("weir_stages_in");
  const Fd before_out = bed().pinned_program("weir_stages_out");
  bed().restart(with_connections(4096));
  for (const Fd* table : {&before, &before_out}) {
    const std::uint32_t connect = WEIR_STAGE_CONNECT;
    __u32 id = 0;
    ASSERT_EQ(bpf_map_lookup_elem(table->get(), &connect, &id), 0);
    const Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    __u32 size = sizeof info;
    ASSERT_EQ(bpf_prog_get_info_by_fd(program.get(), &info, &size), 0);
    EXPECT_TRUE(std::string(info.name).starts_with("heir_")) << info.name;
    EXPECT_LE(info.verified_insns, kMostInstructions) << info.name;
    std::printf("  %-20s %u\n", info.name, info.verified_insns);
  }
}

WEIR_BOTH_FAMILIES(Upgrade);

}  // namespace
}  // namespace weir
