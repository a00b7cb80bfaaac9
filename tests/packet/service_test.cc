// Pods that speak to Services: the backend is chosen once, both directions are translated.
#include <bpf/bpf.h>

#include <map>
#include <set>

#include "harness/services.h"

namespace weir {
namespace {

class Service : public PacketTest {
 protected:
  void SetUp() override {
    PacketTest::SetUp();
    services_ = std::make_unique<TestServices>(bed());
  }
  TestServices& services() { return *services_; }
  TestServices::Row cluster_ip(std::vector<TestServices::Backend> backends, int proto = 6) const {
    return {.vip = cast().vip, .port = 80, .proto = proto, .backends = std::move(backends)};
  }
  Outcome ask(const auto& l4) { return ask(cast().vip, l4); }
  Outcome ask(const Address& vip, const auto& l4) {
    return bed().from_pod(kLinkA, eth() / ip(cast().pod_a, vip) / l4);
  }
  Address backend_of(const Outcome& out) {
    const auto wire = Wire::parse(out.frame);
    return wire ? wire->ip_dst : Address();
  }

  std::unique_ptr<TestServices> services_;
};

TEST_P(Service, RequestAndReplyOnOneNode) {
  const auto id = services().add(cluster_ip({{cast().pod_b, 8080}}));
  const Outcome request = ask(tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / tcp(40000, 8080, SYN)));
  const weir_event& opened = request.events.at(0);
  EXPECT_EQ(opened.type, WEIR_EVENT_NEW);
  EXPECT_EQ(from_abi(opened.dst), cast().vip);
  EXPECT_EQ(from_abi(opened.to_addr), cast().pod_b);
  EXPECT_EQ(ntohs(opened.to_port), 8080);
  EXPECT_EQ(opened.service, id);
  EXPECT_TRUE(from_abi(opened.nat_addr).is_zero()) << "the client's address is kept";

  const Outcome reply = bed().from_pod(
      kLinkB, eth(kMacLink, kMacB) / ip(cast().pod_b, cast().pod_a) / tcp(8080, 40000, SYN | ACK));
  EXPECT_EQ(reply.verdict, kRedirect);
  EXPECT_TRUE(same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) /
                                           tcp(80, 40000, SYN | ACK)));
  EXPECT_EQ(reply.events.at(0).type, WEIR_EVENT_ESTABLISHED);
  EXPECT_EQ(from_abi(reply.events.at(0).dst), cast().vip);
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(Service, TheBackendIsOnAnotherNode) {
  services().add(cluster_ip({{cast().pod_r, 8080}}));
  const Outcome request = ask(tcp(40000, 80, SYN));
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacTunnel, kMacLink) / ip(cast().pod_a, cast().pod_r).ttl(63) / tcp(40000, 8080, SYN)));
  EXPECT_EQ(request.events.at(0).out, WEIR_OUT_TUNNEL);
  const Packet answer = eth() / ip(cast().pod_r, cast().pod_a) / tcp(8080, 40000, SYN | ACK);
  EXPECT_TRUE(same_packet(
      bed().from_tunnel(cast().node_r, answer).frame,
      eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / tcp(80, 40000, SYN | ACK)));
  EXPECT_EQ(bed().from_tunnel(cast().outside, answer).reason(), WEIR_DROP_TUNNEL_SOURCE)
      << "another node cannot answer";
}

TEST_P(Service, NativeRoutingLeadsToTheBackend) {
  BedOptions options = small();
  options.settings.tunnel = false;
  start(options);
  services_ = std::make_unique<TestServices>(bed());
  services().add(cluster_ip({{cast().pod_r, 8080}}));
  const Outcome request = ask(tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_EQ(backend_of(request), cast().pod_r);
  EXPECT_TRUE(same_packet(
      bed().from_nic(eth() / ip(cast().pod_r, cast().pod_a) / tcp(8080, 40000, SYN | ACK)).frame,
      eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / tcp(80, 40000, SYN | ACK)));
}

TEST_P(Service, ABackendOutsideIsReachedWithTheNodesAddress) {
  services().add(cluster_ip({{cast().outside, 8080}}));
  const Outcome request = ask(tcp(62000, 80, SYN));
  EXPECT_TRUE(same_packet(request.frame,
                          eth() / ip(cast().node, cast().outside).ttl(63) / tcp(62000, 8080, SYN)));
  EXPECT_EQ(from_abi(request.events.at(0).nat_addr), cast().node);
  EXPECT_TRUE(same_packet(
      bed()
          .from_nic(eth(kMacOther, kMacOther) / ip(cast().outside, cast().node) /
                    tcp(8080, 62000, SYN | ACK))
          .frame,
      eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / tcp(80, 62000, SYN | ACK)));
}

TEST_P(Service, APodReachesItself) {
  services().add(cluster_ip({{cast().pod_a, 8080}}));
  const Outcome request = ask(tcp(40000, 80, SYN));
  EXPECT_EQ(request.verdict, kRedirect);
  EXPECT_TRUE(same_packet(
      request.frame,
      eth(kMacA, kMacLink) / ip(cast().hairpin, cast().pod_a).ttl(63) / tcp(40000, 8080, SYN)));
  const Outcome reply = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().hairpin) / tcp(8080, 40000, SYN | ACK));
  EXPECT_TRUE(same_packet(reply.frame, eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) /
                                           tcp(80, 40000, SYN | ACK)));
}

TEST_P(Service, UdpIsTranslatedBothWays) {
  services().add(cluster_ip({{cast().pod_b, 5353}}, 17));
  EXPECT_TRUE(same_packet(
      ask(Udp{5000, 80, false}).frame,
      eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / Udp{5000, 5353, false}));
  EXPECT_TRUE(same_packet(
      bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / udp(5353, 5000)).frame,
      eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / udp(80, 5000)));
}

TEST_P(Service, OnePortServesTwoProtocolsApart) {
  services().add(cluster_ip({{cast().pod_b, 1}}, 6));
  services().add(cluster_ip({{cast().pod_r, 2}}, 17));
  EXPECT_EQ(backend_of(ask(tcp(40000, 80, SYN))), cast().pod_b);
  EXPECT_EQ(backend_of(ask(udp(40000, 80))), cast().pod_r);
}

TEST_P(Service, NewConnectionsSpreadOverTheBackends) {
  services().add(cluster_ip({{cast().pod_b, 8080}, {cast().pod_r, 8080}, {cast().pod_r2, 8080}}));
  std::map<Address, int> share;
  for (int i = 0; i < 300; ++i)
    ++share[backend_of(ask(tcp(static_cast<std::uint16_t>(30000 + i), 80, SYN)))];
  EXPECT_EQ(share.size(), 3u);
  for (const auto& [backend, count] : share) EXPECT_GT(count, 50) << backend.to_string();
  EXPECT_EQ(bed().connections(), 600u);
}

TEST_P(Service, AConnectionStaysWithItsBackend) {
  const auto id = services().add(cluster_ip({{cast().pod_b, 8080}, {cast().pod_r, 8080}}));
  for (int i = 0; i < 20; ++i) {
    const Address chosen = backend_of(ask(tcp(static_cast<std::uint16_t>(30000 + i), 80, SYN)));
    services().set_backends(id, {{cast().pod_b, 8080}, {cast().pod_r, 8080}});
    EXPECT_EQ(backend_of(ask(tcp(static_cast<std::uint16_t>(30000 + i), 80, ACK))), chosen);
  }
}

// As with kube-proxy: what merely left the Service is drained, not cut.
TEST_P(Service, TcpOutlivesItsBackendsLeaving) {
  const auto id = services().add(cluster_ip({{cast().pod_b, 8080}}));
  ask(tcp(40000, 80, SYN));
  services().set_backends(id, {{cast().pod_r, 8080}});
  EXPECT_EQ(backend_of(ask(tcp(40000, 80, ACK))), cast().pod_b);
  services().set_backends(id, {});
  EXPECT_EQ(backend_of(ask(tcp(40000, 80, ACK))), cast().pod_b);
  services().remove(cluster_ip({}));
  EXPECT_EQ(backend_of(ask(tcp(40000, 80, ACK))), cast().pod_b);
}

TEST_P(Service, UdpMovesWhenItsBackendLeaves) {
  const auto id = services().add(cluster_ip({{cast().pod_b, 53}, {cast().pod_r, 53}}, 17));
  for (int i = 0; i < 20; ++i) ask(udp(static_cast<std::uint16_t>(30000 + i), 80));
  services().set_backends(id, {{cast().pod_r, 53}});
  int moved = 0;
  for (int i = 0; i < 20; ++i) {
    const Outcome out = ask(udp(static_cast<std::uint16_t>(30000 + i), 80));
    EXPECT_EQ(backend_of(out), cast().pod_r);
    moved += out.event(WEIR_EVENT_ENDED) != nullptr ? 1 : 0;
  }
  EXPECT_GT(moved, 0);
  EXPECT_EQ(bed().connections(), 40u) << "the old pairs are gone";
}

TEST_P(Service, UdpStaysWhenOthersComeAndGo) {
  const auto id = services().add(cluster_ip({{cast().pod_b, 53}}, 17));
  ask(udp(30000, 80));
  services().set_backends(id, {{cast().pod_b, 53}, {cast().pod_r, 53}, {cast().pod_r2, 53}});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(backend_of(ask(udp(30000, 80))), cast().pod_b);
}

TEST_P(Service, AffinityHoldsForAllConnectionsOfAClient) {
  auto row = cluster_ip({{cast().pod_b, 8080}, {cast().pod_r, 8080}, {cast().pod_r2, 8080}});
  row.affinity_s = 100;
  const auto id = services().add(row);
  const Address chosen = backend_of(ask(tcp(30000, 80, SYN)));
  for (int i = 1; i < 40; ++i)
    EXPECT_EQ(backend_of(ask(tcp(static_cast<std::uint16_t>(30000 + i), 80, SYN))), chosen);
  // The backend leaves: another one is chosen, and kept.
  std::vector<TestServices::Backend> left;
  for (const auto& one : row.backends)
    if (one.address != chosen) left.push_back(one);
  services().set_backends(id, left);
  const Address next = backend_of(ask(tcp(31000, 80, SYN)));
  EXPECT_NE(next, chosen);
  for (int i = 1; i < 40; ++i)
    EXPECT_EQ(backend_of(ask(tcp(static_cast<std::uint16_t>(31000 + i), 80, SYN))), next);
}

TEST_P(Service, AffinityIsOverAfterItsTime) {
  auto row = cluster_ip({{cast().pod_b, 8080}, {cast().pod_r, 8080}});
  row.affinity_s = 10;
  const auto id = services().add(row);
  ask(tcp(30000, 80, SYN));
  weir_affinity_key key{};
  key.client = to_abi(cast().pod_a);
  key.service = id;
  weir_affinity kept{};
  const int map = bed().pinned_map("weir_affinity");
  ASSERT_EQ(bpf_map_lookup_elem(map, &key, &kept), 0);
  const Address chosen = from_abi(kept.addr);
  std::set<Address> seen;
  for (int i = 1; i < 60; ++i) {
    kept.addr = to_abi(chosen);
    kept.seen_s -= 11;
    ASSERT_EQ(bpf_map_update_elem(map, &key, &kept, BPF_ANY), 0);
    seen.insert(backend_of(ask(tcp(static_cast<std::uint16_t>(30000 + i), 80, SYN))));
    ASSERT_EQ(bpf_map_lookup_elem(map, &key, &kept), 0);
  }
  EXPECT_EQ(seen.size(), 2u) << "chosen anew each time";
}

// One backend behind two addresses, one client port: the second connection gets another source
// port.
TEST_P(Service, OneBackendBehindTwoAddressesKeepsBothConnections) {
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  services().add({.vip = cast().vip_2, .port = 80, .backends = {{cast().pod_b, 8080}}});
  ask(cast().vip, tcp(40000, 80, SYN));
  const Outcome second = ask(cast().vip_2, tcp(40000, 80, SYN));
  const auto wire = Wire::parse(second.frame);
  ASSERT_TRUE(wire && wire->src_port);
  EXPECT_NE(*wire->src_port, 40000);
  EXPECT_EQ(wire->ip_src, cast().pod_a);
  const auto answer = [&](std::uint16_t to) {
    return bed().from_pod(kLinkB,
                          eth() / ip(cast().pod_b, cast().pod_a) / tcp(8080, to, SYN | ACK));
  };
  EXPECT_TRUE(same_packet(
      answer(40000).frame,
      eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / tcp(80, 40000, SYN | ACK)));
  EXPECT_TRUE(same_packet(
      answer(*wire->src_port).frame,
      eth(kMacA, kMacLink) / ip(cast().vip_2, cast().pod_a).ttl(63) / tcp(80, 40000, SYN | ACK)));
}

// A socket hook has translated it, or the client knows the backend's address.
TEST_P(Service, APortUsedThroughTheServiceThenReachesTheBackendItself) {
  services().add({.vip = cast().vip, .port = 53, .proto = 17, .backends = {{cast().pod_b, 5353}}});
  ask(cast().vip, udp(40000, 53));
  const Packet direct = eth() / ip(cast().pod_a, cast().pod_b) / udp(40000, 5353);
  const Outcome out = bed().from_pod(kLinkA, direct);
  EXPECT_TRUE(same_packet(
      out.frame, eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / udp(40000, 5353)))
      << (out.reason() ? *out.reason() : 0);
  bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / udp(5353, 40000));
  EXPECT_EQ(bed().from_pod(kLinkA, direct).verdict, kRedirect);
}

// The same at the node of the backend, where a NodePort was asked, also when paths are stale.
TEST_P(Service, ARemotePodsPortUsedThroughANodePortThenReachesTheBackendItself) {
  services().add({.vip = cast().node, .port = 53, .proto = 17, .backends = {{cast().pod_b, 5353}}});
  const auto from_r = [&](const Address& to, int port) {
    return bed().from_tunnel(
        cast().node_r, eth() / ip(cast().pod_r, to) / udp(40000, static_cast<std::uint16_t>(port)));
  };
  EXPECT_EQ(Wire::parse(from_r(cast().node, 53).frame)->ip_dst, cast().pod_b);
  bed().plane().routes_changed();
  const Outcome out = from_r(cast().pod_b, 5353);
  EXPECT_EQ(out.verdict, kRedirect);
  EXPECT_EQ(Wire::parse(out.frame)->dst_port, 5353);
  EXPECT_EQ(Wire::parse(out.frame)->ip_src, cast().pod_r);
}

TEST_P(Service, UdpWithoutChecksumStaysWithout) {
  services().add(cluster_ip({{cast().pod_b, 8080}}, 17));
  for (int i = 0; i < 2; ++i) {  // by helpers, then in place
    EXPECT_TRUE(same_packet(
        ask(Udp{40000, 80, false}).frame,
        eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / Udp{40000, 8080, false}));
    const Outcome reply = bed().from_pod(
        kLinkB, eth(kMacLink, kMacB) / ip(cast().pod_b, cast().pod_a) / Udp{8080, 40000, false});
    EXPECT_TRUE(same_packet(
        reply.frame,
        eth(kMacA, kMacLink) / ip(cast().vip, cast().pod_a).ttl(63) / Udp{80, 40000, false}));
  }
}

TEST_P(Service, AResetOutOfWindowEndsNoConnection) {
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  const auto answer = [&](int flags) {
    return bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / tcp(8080, 40000, flags));
  };
  ask(tcp(40000, 80, SYN));
  answer(SYN | ACK);
  ask(tcp(40000, 80, RST));
  const auto closed = [&] {
    return bed().connection(cast().pod_a, 40000, cast().vip, 80, 6).value().flags & WEIR_CT_CLOSED;
  };
  EXPECT_TRUE(closed());
  ask(tcp(40000, 80, ACK));
  EXPECT_TRUE(closed()) << "one side alone may not have heard of it";
  answer(ACK);
  EXPECT_FALSE(closed());
  answer(RST);
  EXPECT_TRUE(closed());
  EXPECT_FALSE(answer(ACK).frame.empty());
  ask(tcp(40000, 80, ACK));
  EXPECT_FALSE(closed());
}

TEST_P(Service, AClosedConnectionMayBeOpenedAnew) {
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  ask(tcp(40000, 80, SYN));
  bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / tcp(8080, 40000, RST | ACK));
  const Outcome again = ask(tcp(40000, 80, SYN));
  EXPECT_NE(again.event(WEIR_EVENT_ENDED), nullptr);
  EXPECT_NE(again.event(WEIR_EVENT_NEW), nullptr);
  EXPECT_EQ(bed().connections(), 2u);
}

TEST_P(Service, ErrorsAreTranslatedBothWays) {
  services().add(cluster_ip({{cast().pod_b, 53}}, 17));
  const Packet request = eth() / ip(cast().pod_a, cast().vip) / udp(5000, 80) / payload(30);
  bed().from_pod(kLinkA, request);
  const Packet seen = eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(30);
  const Outcome to_client = bed().from_pod(
      kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / port_unreachable(GetParam()) / quote(seen));
  auto wire = Wire::parse(to_client.frame);
  ASSERT_TRUE(wire) << describe(to_client.frame);
  EXPECT_EQ(wire->ip_src, cast().vip);
  EXPECT_EQ(wire->ip_dst, cast().pod_a);
  EXPECT_TRUE(wire->l4_checksum_ok);
  auto inner = wire->parse_quote();
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->ip_src, cast().pod_a);
  EXPECT_EQ(inner->ip_dst, cast().vip);
  EXPECT_EQ(inner->dst_port, 80);

  const Packet reply = eth() / ip(cast().pod_b, cast().pod_a) / udp(53, 5000) / payload(30);
  bed().from_pod(kLinkB, reply);
  const Packet got = eth() / ip(cast().vip, cast().pod_a) / udp(80, 5000) / payload(30);
  const Outcome to_backend = bed().from_pod(
      kLinkA, eth() / ip(cast().pod_a, cast().vip) / port_unreachable(GetParam()) / quote(got));
  wire = Wire::parse(to_backend.frame);
  ASSERT_TRUE(wire) << describe(to_backend.frame);
  EXPECT_EQ(wire->ip_src, cast().pod_a);
  EXPECT_EQ(wire->ip_dst, cast().pod_b);
  EXPECT_TRUE(wire->l4_checksum_ok);
  inner = wire->parse_quote();
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->ip_src, cast().pod_b);
  EXPECT_EQ(inner->src_port, 53);
}

TEST_P(Service, BehindOptionsAndExtensionHeaders) {
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  const auto packet = [this](const Packet& link, Ip head, const Tcp& l4) {
    if (!cast().v4()) return link / head / Extension{60, Bytes(6)} / l4;
    head.options = Bytes(8, 1);
    return link / head / l4;
  };
  const Outcome request =
      bed().from_pod(kLinkA, packet(eth(), ip(cast().pod_a, cast().vip), tcp(40000, 80, SYN)));
  EXPECT_TRUE(same_packet(
      request.frame,
      packet(eth(kMacB, kMacLink), ip(cast().pod_a, cast().pod_b).ttl(63), tcp(40000, 8080, SYN))));
  EXPECT_TRUE(same_packet(
      bed()
          .from_pod(kLinkA, packet(eth(), ip(cast().pod_a, cast().vip), tcp(40000, 80, ACK)))
          .frame,
      packet(eth(kMacB, kMacLink), ip(cast().pod_a, cast().pod_b).ttl(63), tcp(40000, 8080, ACK))));
  const Outcome reply = bed().from_pod(
      kLinkB, packet(eth(), ip(cast().pod_b, cast().pod_a), tcp(8080, 40000, SYN | ACK)));
  EXPECT_TRUE(
      same_packet(reply.frame, packet(eth(kMacA, kMacLink), ip(cast().vip, cast().pod_a).ttl(63),
                                      tcp(80, 40000, SYN | ACK))));
}

TEST_P(Service, ChecksumsAreRightWhateverTheTuple) {
  BedOptions options = small();
  options.settings.ct_max = 8192;
  start(options);
  services_ = std::make_unique<TestServices>(bed());
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  services().add(cluster_ip({{cast().pod_b, 53}}, 17));
  // The first packet, and those of a known connection.
  for (std::uint16_t i = 0; i < 1000 && !HasFailure(); ++i) {
    const auto port = static_cast<std::uint16_t>(1 + i * 65);
    const Packet out = eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63);
    EXPECT_TRUE(same_packet(ask(tcp(port, 80, SYN)).frame, out / tcp(port, 8080, SYN)));
    EXPECT_TRUE(same_packet(ask(tcp(port, 80, ACK)).frame, out / tcp(port, 8080, ACK)));
    EXPECT_TRUE(same_packet(ask(udp(port, 80)).frame, out / udp(port, 53)));
    EXPECT_TRUE(same_packet(ask(udp(port, 80)).frame, out / udp(port, 53)));
    EXPECT_TRUE(same_packet(ask(Udp{port, 80, false}).frame, out / Udp{port, 53, false}));
  }
}

TEST_P(Service, ConnectionsOutliveTheAgent) {
  services().add(cluster_ip({{cast().pod_b, 8080}}));
  ask(tcp(40000, 80, SYN));
  bed().restart();
  EXPECT_EQ(backend_of(ask(tcp(40000, 80, ACK))), cast().pod_b);
  EXPECT_EQ(backend_of(ask(tcp(40001, 80, SYN))), cast().pod_b);
}

WEIR_BOTH_FAMILIES(Service);

}  // namespace
}  // namespace weir
