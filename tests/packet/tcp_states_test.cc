// TCP that does not begin or end as it should: the entry follows, and lets it through.
#include "harness/services.h"

namespace weir {
namespace {

class TcpStates : public PacketTest {
 protected:
  Outcome a(int flags) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().pod_b) / tcp(40000, 80, flags));
  }
  Outcome b(int flags) {
    return bed().from_pod(
        kLinkB, eth(kMacLink, kMacB) / ip(cast().pod_b, cast().pod_a) / tcp(80, 40000, flags));
  }
  weir_ct entry() { return bed().connection(cast().pod_a, 40000, cast().pod_b, 80, 6).value(); }
  bool closed() { return (entry().flags & WEIR_CT_CLOSED) != 0; }
};

// RFC 9293, 3.5: both sides say SYN, then both say SYN, ACK.
TEST_P(TcpStates, BothMayOpenAtOnce) {
  EXPECT_NE(a(SYN).event(WEIR_EVENT_NEW), nullptr);
  const Outcome crossing = b(SYN);
  EXPECT_EQ(crossing.verdict, kRedirect);
  ASSERT_EQ(crossing.events.size(), 1u);
  EXPECT_EQ(crossing.events[0].type, WEIR_EVENT_ESTABLISHED);
  for (const int flags : {SYN | ACK, int{ACK}}) {
    const Outcome from_a = a(flags), from_b = b(flags);
    EXPECT_EQ(from_a.verdict, kRedirect);
    EXPECT_EQ(from_b.verdict, kRedirect);
    EXPECT_TRUE(from_a.events.empty() && from_b.events.empty());
  }
  EXPECT_EQ(bed().connections(), 1u);
  EXPECT_EQ(entry().packets[0], 3u);
  EXPECT_EQ(entry().packets[1], 3u);
  a(FIN | ACK);
  EXPECT_NE(b(FIN | ACK).event(WEIR_EVENT_CLOSED), nullptr);
}

// The table was lost, or the route has changed to lead by here.
TEST_P(TcpStates, ADirectConnectionIsPickedUpInItsMiddle) {
  for (const bool by_client : {true, false}) {
    const Outcome first = by_client ? a(ACK | PSH) : b(ACK | PSH);
    EXPECT_EQ(first.verdict, kRedirect);
    EXPECT_NE(first.event(WEIR_EVENT_NEW), nullptr);
    const Outcome second = by_client ? b(ACK) : a(ACK);
    EXPECT_EQ(second.verdict, kRedirect);
    EXPECT_NE(second.event(WEIR_EVENT_ESTABLISHED), nullptr);
    EXPECT_EQ(bed().connections(), 1u);
    bed().sweep({});
    bed().sweep({});
    ASSERT_EQ(bed().connections(), 0u);
  }
}

TEST_P(TcpStates, AMasqueradedOneToo) {
  const auto out = [&](int flags) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().outside) / tcp(62000, 80, flags));
  };
  const auto in = [&](int flags) {
    return bed().from_nic(eth() / ip(cast().outside, cast().node) / tcp(80, 62000, flags));
  };
  EXPECT_EQ(in(ACK).verdict, kNext) << "whose it was nobody knows";
  const Outcome request = out(ACK | PSH);
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      request.frame, eth() / ip(cast().node, cast().outside).ttl(63) / tcp(62000, 80, ACK | PSH)))
      << "a free port stays as it is, so that the other side knows the connection";
  const Outcome reply = in(ACK);
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      reply.frame,
      eth(kMacA, kMacLink) / ip(cast().outside, cast().pod_a).ttl(63) / tcp(80, 62000, ACK)));
}

TEST_P(TcpStates, OneOfAServiceToo) {
  TestServices services(bed());
  services.add({.vip = cast().vip, .port = 80, .backends = {{cast().pod_b, 8080}}});
  const Outcome request =
      bed().from_pod(kLinkA, eth() / ip(cast().pod_a, cast().vip) / tcp(40000, 80, ACK | PSH));
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / tcp(40000, 8080, ACK | PSH)));
  const Outcome reply = bed().from_pod(
      kLinkB, eth(kMacLink, kMacB) / ip(cast().pod_b, cast().pod_a) / tcp(8080, 40000, ACK));
  EXPECT_TRUE(same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) /
                                           tcp(80, 40000, ACK)));
}

// One side has said FIN. Its tuple is not free yet: the other side answers, and decides.
TEST_P(TcpStates, ASynOnAHalfClosedConnectionIsForTheOtherSideToAnswer) {
  a(SYN);
  b(SYN | ACK);
  a(FIN | ACK);
  const Outcome syn = a(SYN);
  EXPECT_EQ(syn.verdict, kRedirect);
  EXPECT_TRUE(syn.events.empty());
  EXPECT_EQ(entry().packets[0], 3u);
  EXPECT_FALSE(closed());
  EXPECT_EQ(b(ACK).verdict, kRedirect) << "RFC 5961: which challenges it";
  EXPECT_NE(a(RST).event(WEIR_EVENT_CLOSED), nullptr);
  const Outcome again = a(SYN);
  EXPECT_EQ(again.verdict, kRedirect);
  EXPECT_NE(again.event(WEIR_EVENT_ENDED), nullptr);
  EXPECT_NE(again.event(WEIR_EVENT_NEW), nullptr);
  EXPECT_EQ(entry().packets[0], 1u);
}

TEST_P(TcpStates, AResetOutOfWindowEndsNoDirectConnection) {
  a(SYN);
  b(SYN | ACK);
  EXPECT_NE(a(RST).event(WEIR_EVENT_CLOSED), nullptr);
  EXPECT_EQ(a(ACK).verdict, kRedirect);
  EXPECT_TRUE(closed()) << "one side alone may not have heard of it";
  EXPECT_EQ(b(ACK).verdict, kRedirect);
  EXPECT_FALSE(closed());
  EXPECT_EQ(entry().flags & (WEIR_CT_RESET | WEIR_CT_BY_RESPONDER), 0u);
  EXPECT_NE(b(RST).event(WEIR_EVENT_CLOSED), nullptr);
  EXPECT_TRUE(closed());
}

WEIR_BOTH_FAMILIES(TcpStates);

}  // namespace
}  // namespace weir
