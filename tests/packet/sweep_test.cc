// The end of connections: idle entries leave in two passes, with exact totals.
#include "dataplane/sweep.h"

#include <bpf/bpf.h>

#include <map>

#include "harness/bed.h"
#include "harness/services.h"

namespace weir {
namespace {

constexpr weir_sweep kNow{};  // every entry is idle
constexpr weir_sweep kNever = {1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 0, 1 << 20};

class Sweep : public PacketTest {
 protected:
  Outcome send(std::uint16_t port) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / udp(port, 53));
  }
  std::optional<weir_ct> entry(std::uint16_t port) {
    return bed().connection(cast().pod_a, port, cast().pod_b, 53, 17);
  }
  std::uint64_t bytes() const { return (cast().v4() ? 20 : 40) + 8; }
};

TEST_P(Sweep, IdleEntriesDieInTheSecondPass) {
  send(5000);
  EXPECT_TRUE(bed().sweep(kNow).empty());
  EXPECT_EQ(entry(5000)->state, WEIR_CT_DYING);
  const auto ended = bed().sweep(kNow);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_FALSE(entry(5000));
  EXPECT_EQ(ended[0].type, WEIR_EVENT_ENDED);
  EXPECT_EQ(from_abi(ended[0].src), cast().pod_a);
  EXPECT_EQ(ntohs(ended[0].src_port), 5000);
  EXPECT_EQ(ntohs(ended[0].dst_port), 53);
  EXPECT_EQ(ended[0].packets[0], 1u);
  EXPECT_EQ(ended[0].bytes[0], bytes());
  EXPECT_GT(ended[0].duration_ns, 0u);
  EXPECT_TRUE(bed().sweep(kNow).empty());
}

TEST_P(Sweep, BusyEntriesStay) {
  send(5000);
  bed().sweep(kNever);
  EXPECT_EQ(entry(5000)->state, WEIR_CT_LIVE);
}

TEST_P(Sweep, APacketRevivesTheDying) {
  send(5000);
  bed().sweep(kNow);
  EXPECT_TRUE(send(5000).events.empty()) << "the same connection";
  EXPECT_EQ(entry(5000)->state, WEIR_CT_LIVE);
  EXPECT_TRUE(bed().sweep(kNow).empty());
  EXPECT_EQ(bed().sweep(kNow).at(0).packets[0], 2u);
}

TEST_P(Sweep, AfterTheEndATupleIsNew) {
  send(5000);
  bed().sweep(kNow);
  bed().sweep(kNow);
  EXPECT_EQ(send(5000).events.at(0).type, WEIR_EVENT_NEW);
}

TEST_P(Sweep, TellsTheConnectionsOfServicesAndEndsNothing) {
  TestServices services(bed());
  const auto id =
      services.add({.vip = cast().vip, .port = 80, .proto = 6, .backends = {{cast().pod_b, 8080}}});
  const auto to_service = [&](std::uint16_t port, std::uint8_t flags) {
    bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / tcp(port, 80, flags));
  };
  to_service(40000, SYN);
  to_service(40001, SYN);
  to_service(40001, RST);  // is over
  send(5000);              // addresses no Service
  for (int pass = 0; pass < 3; ++pass) {
    const auto told = bed().sweep(kTellServices);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].type, WEIR_EVENT_NEW);
    EXPECT_EQ(told[0].service, id);
    EXPECT_EQ(from_abi(told[0].dst), cast().vip);
    EXPECT_EQ(from_abi(told[0].to_addr), cast().pod_b);
    EXPECT_EQ(ntohs(told[0].to_port), 8080);
  }
  EXPECT_EQ(entry(5000)->state, WEIR_CT_LIVE);
}

TEST_P(Sweep, TranslatedPairsLeaveTogetherAndAreToldOnce) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53));
  for (int i = 0; i < 3; ++i) {
    bed().from_nic(eth() / ip(cast().outside, cast().node) / udp(53, 62000));
  }
  bed().sweep(kNow);
  EXPECT_EQ(bed().connections(), 2u);
  const auto ended = bed().sweep(kNow);
  EXPECT_EQ(bed().connections(), 0u);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(from_abi(ended[0].src), cast().pod_a);
  EXPECT_EQ(from_abi(ended[0].nat_addr), cast().node);
  EXPECT_EQ(ended[0].packets[0], 1u);
  EXPECT_EQ(ended[0].packets[1], 3u);
  EXPECT_EQ(ended[0].bytes[1], 3 * bytes());
  EXPECT_TRUE(ended[0].flags & WEIR_EVENT_REPLIED);
}

TEST_P(Sweep, AnAnswerRevivesBothHalves) {
  const Packet answer = eth() / ip(cast().outside, cast().node) / udp(53, 62000);
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53));
  bed().from_nic(answer);
  bed().sweep(kNow);
  EXPECT_EQ(bed().from_nic(answer).verdict, kRedirect);
  EXPECT_TRUE(bed().sweep(kNow).empty());
  EXPECT_EQ(bed().connections(), 2u);
  EXPECT_EQ(bed().from_nic(answer).verdict, kRedirect) << "still translated";
}

TEST_P(Sweep, ManyEntriesAreAllToldExactly) {
  constexpr std::uint16_t kMany = 500;  // several read buffers
  for (std::uint16_t i = 0; i < kMany; ++i) {
    for (int n = 0; n <= i % 3; ++n) send(static_cast<std::uint16_t>(1000 + i));
  }
  bed().sweep(kNow);
  std::map<std::uint16_t, std::uint64_t> told;
  // Where one read ends and the next begins, the kernel counts from the head of a bucket that has
  // become shorter: it can skip an entry, which then leaves in the next pass.
  for (int pass = 0; pass < 10 && bed().connections() != 0; ++pass) {
    for (const weir_event& event : bed().sweep(kNow)) {
      EXPECT_TRUE(told.emplace(ntohs(event.src_port), event.packets[0]).second) << "told twice";
    }
  }
  ASSERT_EQ(told.size(), kMany);
  for (std::uint16_t i = 0; i < kMany; ++i) EXPECT_EQ(told[1000 + i], i % 3 + 1u) << i;
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Sweep, LimitsGoByWhatWasSeen) {
  const auto survives = [&](weir_sweep limits) {
    bed().sweep(limits);
    bed().sweep(limits);
    return bed().connections() == 1;
  };
  const auto all_but = [](__u32 weir_sweep::* field) {
    weir_sweep limits = kNever;
    limits.*field = 0;
    return limits;
  };
  const auto there = eth() / ip(cast().pod_a, cast().pod_b);
  const auto back = eth() / ip(cast().pod_b, cast().pod_a);
  bed().from_pod(kLinkA, there / udp(1, 2));
  EXPECT_FALSE(survives(all_but(&weir_sweep::unreplied_s)));
  bed().from_pod(kLinkA, there / udp(1, 2));
  bed().from_pod(kLinkB, back / udp(2, 1));
  EXPECT_TRUE(survives(all_but(&weir_sweep::unreplied_s)));
  EXPECT_FALSE(survives(all_but(&weir_sweep::one_answer_s)));
  for (int i = 0; i < 2; ++i) {
    bed().from_pod(kLinkA, there / udp(1, 2));
    bed().from_pod(kLinkB, back / udp(2, 1));
  }
  EXPECT_TRUE(survives(all_but(&weir_sweep::one_answer_s)));
  EXPECT_FALSE(survives(all_but(&weir_sweep::stream_s)));
  bed().from_pod(kLinkA, there / tcp(1, 2, SYN));
  EXPECT_FALSE(survives(all_but(&weir_sweep::tcp_opening_s)));
  bed().from_pod(kLinkA, there / tcp(1, 2, SYN));
  bed().from_pod(kLinkB, back / tcp(2, 1, SYN | ACK));
  EXPECT_TRUE(survives(all_but(&weir_sweep::tcp_s)));
  EXPECT_FALSE(survives(all_but(&weir_sweep::tcp_opening_s)));
  bed().from_pod(kLinkA, there / tcp(1, 2, SYN));
  bed().from_pod(kLinkB, back / tcp(2, 1, SYN | ACK));
  bed().from_pod(kLinkA, there / tcp(1, 2, ACK));
  EXPECT_TRUE(survives(all_but(&weir_sweep::tcp_opening_s)));
  EXPECT_FALSE(survives(all_but(&weir_sweep::tcp_s)));
  bed().from_pod(kLinkA, there / tcp(1, 2, SYN));
  bed().from_pod(kLinkA, there / tcp(1, 2, RST));
  EXPECT_TRUE(survives(all_but(&weir_sweep::tcp_s)));
  EXPECT_FALSE(survives(all_but(&weir_sweep::closed_s)));
}

TEST_P(Sweep, HalfOpenIsWhoseOpenerHasSentNothingButSyns) {
  weir_sweep limits = kNever;
  limits.tcp_opening_s = 0;
  const auto survives = [&] {
    for (int i = 0; i < 2; ++i) bed().sweep(limits);
    return bed().connections() != 0;
  };
  const auto there = [&](std::uint8_t flags) {
    bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(62000, 80, flags));
  };
  const auto back = [&](std::uint8_t flags) {
    bed().from_nic(eth() / ip(cast().outside, cast().node) / tcp(80, 62000, flags));
  };
  there(SYN);
  for (int i = 0; i < 5; ++i) back(SYN | ACK);
  there(SYN);
  EXPECT_FALSE(survives()) << "a flood's";
  there(SYN);
  back(SYN | ACK);
  there(ACK);
  EXPECT_TRUE(survives());
  back(ACK);
  there(SYN);  // out of window: nobody takes it
  EXPECT_TRUE(survives());
  there(RST);
  bed().sweep(kNow);
  bed().sweep(kNow);
  there(SYN);
  back(SYN);
  there(SYN | ACK);
  EXPECT_TRUE(survives()) << "opened by both sides at once";
  bed().sweep(kNow);
  bed().sweep(kNow);
  there(ACK);
  back(ACK);
  EXPECT_TRUE(survives()) << "met on its way";
}

// The other end of a translated connection may still be in TIME_WAIT.
TEST_P(Sweep, AClosedTranslatedConnectionKeepsItsPortForLonger) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(62000, 80, SYN));
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(62000, 80, RST));
  weir_sweep limits = kNever;
  limits.closed_s = 0;
  for (int i = 0; i < 2; ++i) bed().sweep(limits);
  EXPECT_EQ(bed().connections(), 2u);
  limits.closed_translated_s = 0;
  for (int i = 0; i < 2; ++i) bed().sweep(limits);
  EXPECT_EQ(bed().connections(), 0u);
}

TEST_P(Sweep, ATranslatedStreamIsNoSingleAnswer) {
  bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53));
  for (int i = 0; i < 5; ++i) {
    bed().from_nic(eth() / ip(cast().outside, cast().node) / udp(53, 62000));
  }
  weir_sweep limits = kNever;
  limits.one_answer_s = 0;
  bed().sweep(limits);
  bed().sweep(limits);
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(Sweep, AFullTableRefusesAndSaysSo) {
  BedOptions options = small();
  options.settings.ct_max = 64;
  start(options);
  int full = 0;
  // a preallocated table lends a CPU's spare elements beyond its size
  for (std::uint16_t port = 1; port <= 200; ++port) {
    full += send(port).reason() == WEIR_DROP_CT_FULL ? 1 : 0;
  }
  EXPECT_EQ(full + static_cast<int>(bed().connections()), 200);
  EXPECT_GE(full, 64);
  EXPECT_EQ(send(1).verdict, kRedirect) << "who is in, stays in";
  EXPECT_EQ(
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / udp(62000, 53)).reason(),
      WEIR_DROP_CT_FULL);
  const std::uint64_t before = bed().connections();
  bed().sweep(kNow);
  EXPECT_EQ(bed().sweep(kNow).size(), before);
  EXPECT_EQ(send(201).verdict, kRedirect);
}

WEIR_BOTH_FAMILIES(Sweep);

// Endpoints that move or go: the very next packet knows.
class Move : public PacketTest {
 protected:
  void move_b(std::uint32_t ifindex, const Mac& mac) {
    weir_endpoint& endpoint = bed().entries().endpoints[cast().pod_b];
    endpoint.ifindex = ifindex;
    std::copy(mac.begin(), mac.end(), endpoint.mac);
    bed().apply();
  }
  Outcome to_b() {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, ACK));
  }
  Outcome from_b(std::uint32_t ifindex) {
    return bed().from_pod(ifindex, eth() / ip(cast().pod_b, cast().pod_a) / tcp(80, 40000, ACK));
  }
};

TEST_P(Move, TheVeryNextPacketGoesTheNewWay) {
  to_b();
  from_b(kLinkB);
  move_b(kLinkSpare, kMacSpare);
  const Outcome out = to_b();
  EXPECT_EQ(Wire::parse(out.frame)->dst, kMacSpare);
  EXPECT_TRUE(out.events.empty()) << "the connection is the same";
  EXPECT_EQ(from_b(kLinkB).reason(), WEIR_DROP_SPOOFED);
  EXPECT_EQ(from_b(kLinkSpare).verdict, kRedirect);
  const weir_ct ct = bed().connection(cast().pod_a, 40000, cast().pod_b, 80, 6).value();
  EXPECT_EQ(ct.path[0].out_ifindex, kLinkSpare);
  EXPECT_EQ(ct.path[1].in_ifindex, kLinkSpare);
  EXPECT_EQ(ct.packets[0], 2u);
}

TEST_P(Move, TheAnswerMayBeTheFirstToNotice) {
  to_b();
  move_b(kLinkSpare, kMacSpare);
  EXPECT_EQ(from_b(kLinkSpare).verdict, kRedirect);
  EXPECT_EQ(Wire::parse(to_b().frame)->dst, kMacSpare);
}

TEST_P(Move, ADeletedPodIsUnknown) {
  to_b();
  bed().entries().endpoints.erase(cast().pod_b);
  bed().apply();
  EXPECT_EQ(to_b().reason(), WEIR_DROP_POD_UNKNOWN);
  EXPECT_EQ(from_b(kLinkB).reason(), WEIR_DROP_SPOOFED);
}

TEST_P(Move, AnAddressWithANewOwnerIsAnothersPod) {
  to_b();
  bed().entries().endpoints.erase(cast().pod_b);
  bed().apply();
  weir_endpoint& next = bed().entries().endpoints[cast().pod_b];
  next.id = to_abi(cast().pod_b);
  next.handle = 9;
  next.ifindex = kLinkSpare;
  std::copy(kMacSpare.begin(), kMacSpare.end(), next.mac);
  bed().apply();
  EXPECT_EQ(Wire::parse(to_b().frame)->dst, kMacSpare);
}

TEST_P(Move, ARemoteNodesNewAddressIsUsedAtOnce) {
  const auto send = [&] {
    bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_r) / tcp(40000, 80, ACK));
    return from_abi(bed().connection(cast().pod_a, 40000, cast().pod_r, 80, 6)->path[0].next_hop);
  };
  EXPECT_EQ(send(), cast().node_r);
  bed().entries().routes[cast().pods_r].node_addr = to_abi(cast().gateway);
  bed().apply();
  EXPECT_EQ(send(), cast().gateway);
  const Packet reply = eth() / ip(cast().pod_r, cast().pod_a) / tcp(80, 40000, ACK);
  EXPECT_EQ(bed().from_tunnel(cast().node_r, reply).reason(), WEIR_DROP_TUNNEL_SOURCE);
  EXPECT_EQ(bed().from_tunnel(cast().gateway, reply).verdict, kRedirect);
}

TEST_P(Move, WhatAKilledAgentWroteIsPublishedByTheNext) {
  to_b();
  weir_endpoint row = bed().entries().endpoints[cast().pod_b];
  row.ifindex = kLinkSpare;
  row.version = 1000;
  std::copy(kMacSpare.begin(), kMacSpare.end(), row.mac);
  const weir_addr key = to_abi(cast().pod_b);
  ASSERT_EQ(bpf_map_update_elem(bed().pinned_map("weir_endpoint"), &key, &row, BPF_ANY), 0);
  EXPECT_EQ(Wire::parse(to_b().frame)->dst, kMacB);  // its epoch never came
  bed().restart();
  bed().entries().endpoints[cast().pod_b] = row;
  bed().apply();
  EXPECT_EQ(Wire::parse(to_b().frame)->dst, kMacSpare);
}

WEIR_BOTH_FAMILIES(Move);

}  // namespace
}  // namespace weir
