// Every reason of abi/drops.def has a test that provokes it, or a word why none can.
#include "abi/drops.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace weir {
namespace {

struct Row {
  weir_drop reason;
  const char* test;  // "Suite.Case"; nullptr: none
  const char* why_none;
};

constexpr Row kRows[] = {
    {WEIR_DROP_MALFORMED, "Malformed.EveryPrefixOfAFrameThatLacksItsTransportIsDropped", ""},
    {WEIR_DROP_UNSUPPORTED_L3, "Ethernet.PodsNeedNoArpAndNoOtherProtocol", ""},
    {WEIR_DROP_LINK_MULTICAST, "Malformed.MulticastStaysOnTheLink", ""},
    {WEIR_DROP_SPOOFED, "Spoofed.APodSpeaksOnlyAsItself", ""},
    {WEIR_DROP_POD_UNKNOWN, "Move.ADeletedPodIsUnknown", ""},
    {WEIR_DROP_NO_ROUTE, "Native.NoRouteIsSaid", ""},
    {WEIR_DROP_CT_FULL, "Sweep.AFullTableRefusesAndSaysSo", ""},
    {WEIR_DROP_NAT_EXHAUSTED, "Masquerade.AFullRangeIsExhausted", ""},
    {WEIR_DROP_NAT_NO_ADDRESS, "Masquerade.WithoutANodeAddressThereIsNone", ""},
    {WEIR_DROP_FRAG_NO_FIRST, "Fragments.OneBeforeItsFirstHasNoPorts", ""},
    {WEIR_DROP_FRAG_OVERLAP, "Fragments.OneWithBytesThatHaveComeIsDropped", ""},
    {WEIR_DROP_RACE, "Race.RecycledEndpointsAreNeverTakenForAnothers", ""},
    {WEIR_DROP_NO_STAGE, "Stage.AMissingOneIsADrop", ""},
    {WEIR_DROP_TUNNEL_SOURCE, "Tunnel.InnerSourcesAreBelievedOnlyBehindTheirNode", ""},
    {WEIR_DROP_PORT_CLASH, "Host.APortThatAPodsConnectionHoldsIsAClash", ""},
    {WEIR_DROP_NOT_TRANSLATABLE, "Masquerade.OtherProtocolsDoNotLeave", ""},
    {WEIR_DROP_TTL, "Limits.ATranslatedAnswerWithoutHopsIsDropped", ""},
    {WEIR_DROP_REWRITE, nullptr, "the helpers fail only without memory for a clone"},
    {WEIR_DROP_ENCAP, nullptr, "bpf_skb_set_tunnel_key fails only without memory"},
    {WEIR_DROP_TUNNEL_FORBIDDEN, "Tunnel.PodsMayNotSpeakToATunnelPort", ""},
    {WEIR_DROP_SERVICE_NO_BACKEND, "ServiceRefused.WithoutBackendsTcpIsReset", ""},
    {WEIR_DROP_SERVICE_NO_LOCAL, "ServiceRefused.WithoutLocalBackendsOutsideIsDropped", ""},
    {WEIR_DROP_SERVICE_NO_PORT, "ServiceRefused.AnotherPortOfAClusterIpIsRefused", ""},
    {WEIR_DROP_SERVICE_UNKNOWN, "ServiceRefused.AnUnusedAddressOfTheRangeIsDropped", ""},
    {WEIR_DROP_SERVICE_SOURCE, "ServiceRefused.OnlyClientsOfTheSourceRangesAreServed", ""},
    {WEIR_DROP_BACKEND_GONE, "ServiceRefused.TcpToABackendThatIsGoneIsReset", ""},
    {WEIR_DROP_TOO_BIG, "ServiceRefused.WhatIsTooBigForTheTunnelIsSaid", ""},
    {WEIR_DROP_KERNEL, nullptr, "test runs free no packet: tests/net/kernel_drops_test.py"},
    {WEIR_DROP_ICMP_UNRELATED, "IcmpError.AboutNothingKnownIsUnrelated", ""},
};

std::set<std::string> tests_here() {
  std::set<std::string> names;
  const auto& unit = *testing::UnitTest::GetInstance();
  for (int i = 0; i < unit.total_test_suite_count(); ++i) {
    const auto& suite = *unit.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const std::string test = suite.GetTestInfo(j)->name();
      names.insert(std::string(suite.name()) + "." + test.substr(0, test.find('/')));
    }
  }
  return names;
}

TEST(Drops, EachReasonHasATestOrAWordWhyNot) {
  const auto tests = tests_here();
  std::set<int> told;
  for (const Row& row : kRows) {
    told.insert(row.reason);
    if (row.test != nullptr) {
      EXPECT_TRUE(tests.contains(row.test)) << row.test;
    } else {
      EXPECT_NE(std::string(row.why_none), "");
    }
  }
#define WEIR_DROP(name, number, text) EXPECT_TRUE(told.contains(number)) << #name;
#include "abi/drops.def"
#undef WEIR_DROP
}

}  // namespace
}  // namespace weir
