// The socket hooks, by real sockets of pods, of the node and of strangers.
#include "abi/socket.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "bed.h"

namespace weir {
namespace {

constexpr std::uint16_t kPort = 80;  // of Services
constexpr std::uint16_t kNodePort = 30080;
constexpr int kMany = 24;  // calls that meet all of two backends, but for 1 in 2^23 runs

class Sockets : public testing::TestWithParam<Family> {
 protected:
  void SetUp() override { start(small()); }
  void start(const BedOptions& options) {
    bed_.reset();
    bed_ = std::make_unique<SocketBed>(options);
  }
  void TearDown() override {
    ASSERT_TRUE(bed_);
    EXPECT_TRUE(bed_->bed().adds_up());
  }

  Family family() const { return GetParam(); }
  int af() const { return family() == Family::kIpv4 ? AF_INET : AF_INET6; }
  const Cast& cast() const { return cast_of(family()); }
  SocketBed& bed() { return *bed_; }
  Address any() const { return TestServices::any(family()); }
  Address vip(std::uint8_t number = 1) const { return cast().services.address().plus(number); }
  Address loopback() const { return addr(family() == Family::kIpv4 ? "127.0.0.1" : "::1"); }

  Sock server(std::uint16_t port = 8080) {
    return bed().pod_b().tcp_listener({cast().pod_b, port});
  }
  Sock udp_server(std::uint16_t port = 5353) {
    return bed().pod_b().udp_bound({cast().pod_b, port});
  }
  Peer at_b(std::uint16_t port) const { return {cast().pod_b, port}; }
  TestServices::Backend backend(std::uint16_t port) const { return {cast().pod_b, port}; }
  std::uint32_t serve(const TestServices::Row& row) { return bed().services().add(row); }

  std::unique_ptr<SocketBed> bed_;
};

// What calls have come to since it was made.
class Counted {
 public:
  explicit Counted(SocketBed& bed)
      : bed_(bed), translated_(bed.translated()), refused_(bed.refused()) {}
  std::uint64_t translated() const { return bed_.translated() - translated_; }
  std::uint64_t refused() const { return bed_.refused() - refused_; }
  bool none() const { return translated() == 0 && refused() == 0; }

 private:
  SocketBed& bed_;
  std::uint64_t translated_, refused_;
};

// --- TCP -----------------------------------------------------------------------------------------

TEST_P(Sockets, APodConnectsToTheBackendAndSeesTheService) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  const Counted calls(bed());
  Sock client = bed().pod_a().tcp(af());
  ASSERT_EQ(client.connect(service), 0);
  auto accepted = listener.accept();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->peer(), (Peer{cast().pod_a, client.name().port}));
  EXPECT_EQ(client.peer(), service);
  EXPECT_EQ(client.original_dst(family()), service);
  EXPECT_EQ(calls.translated(), 1u);
}

TEST_P(Sockets, ANodesProcessConnectsToTheBackendAndSeesTheService) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock client = bed().node().tcp(af());
  ASSERT_EQ(client.connect(service), 0);
  EXPECT_TRUE(listener.accept());
  EXPECT_EQ(client.peer(), service);
}

TEST_P(Sockets, OriginalDestinationIsOnlyOfTranslatedConnections) {
  Sock listener = server();
  Sock client = bed().pod_a().tcp(af());
  ASSERT_EQ(client.connect(at_b(8080)), 0);
  auto accepted = listener.accept();
  ASSERT_TRUE(accepted);
  EXPECT_EQ(client.peer(), at_b(8080));
  EXPECT_FALSE(client.original_dst(family()));
  EXPECT_FALSE(accepted->original_dst(family()));
}

TEST_P(Sockets, ASocketUsedAgainForgetsTheService) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock client = bed().pod_a().tcp(af());
  ASSERT_EQ(client.connect(service), 0);
  ASSERT_EQ(client.disconnect(), 0);
  ASSERT_EQ(client.connect(at_b(8080)), 0);
  EXPECT_EQ(client.peer(), at_b(8080));
  EXPECT_FALSE(client.original_dst(family()));
}

TEST_P(Sockets, AllBackendsGetConnections) {
  Sock one = server(8080);
  Sock two = server(8081);
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080), backend(8081)}});
  for (int i = 0; i < kMany; ++i) {
    Sock client = bed().pod_a().tcp(af());
    ASSERT_EQ(client.connect(service), 0);
  }
  EXPECT_TRUE(one.accept());
  EXPECT_TRUE(two.accept());
}

TEST_P(Sockets, NoBackendIsRefusedAtOnceAndTold) {
  const Peer service{vip(), kPort};
  const std::uint32_t id = serve({.vip = service.address, .port = service.port});
  const std::uint32_t local = serve({.vip = vip(2), .port = kPort, .flags = WEIR_SERVICE_LOCAL});
  bed().bed().drain();
  for (const Place* place : {&bed().pod_a(), &bed().node()}) {
    EXPECT_EQ(place->tcp(af()).connect(service), ECONNREFUSED);
    EXPECT_EQ(place->udp(af()).send_to({vip(2), kPort}, "x"), 0) << "TCP is not UDP";
    const auto events = bed().bed().drain();
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].type, WEIR_EVENT_DROP);
    EXPECT_EQ(events[0].hook, WEIR_HOOK_SOCKET);
    EXPECT_EQ(events[0].reason, WEIR_DROP_SERVICE_NO_BACKEND);
    EXPECT_EQ(events[0].service, id);
    EXPECT_EQ(events[0].proto, IPPROTO_TCP);
    EXPECT_EQ(from_abi(events[0].src), place->address(family()));
    EXPECT_EQ((Peer{from_abi(events[0].dst), ntohs(events[0].dst_port)}), service);
  }
  EXPECT_EQ(bed().pod_a().tcp(af()).connect({vip(2), kPort}), ECONNREFUSED);
  const auto events = bed().bed().drain();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, WEIR_DROP_SERVICE_NO_LOCAL);
  EXPECT_EQ(events[0].service, local);
}

TEST_P(Sockets, AnUndefinedPortOfAClusterIpIsRefused) {
  serve({.vip = vip(), .port = kPort, .backends = {backend(8080)}});
  bed().services().add({.vip = vip(), .port = 0, .proto = 0, .flags = WEIR_SERVICE_OTHER_PORTS});
  bed().bed().drain();
  EXPECT_EQ(bed().pod_a().tcp(af()).connect({vip(), 81}), ECONNREFUSED);
  const auto events = bed().bed().drain();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].reason, WEIR_DROP_SERVICE_NO_PORT);
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_a().udp(af()).send_to({vip(), 81}, "x"), 0) << "the packet path answers";
  EXPECT_EQ(bed().stranger().tcp(af()).connect({vip(), 81}), EINPROGRESS);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, UnknownAddressesAreLeftToThePacketPath) {
  serve({.vip = vip(), .port = kPort, .backends = {backend(8080)}});
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_a().tcp(af()).connect({vip(9), kPort}), EINPROGRESS);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, NamespacesOfOthersAreLeftToThePacketPath) {
  Sock listener = server();
  serve({.vip = vip(), .port = kPort, .backends = {backend(8080)}});
  const Counted calls(bed());
  EXPECT_EQ(bed().stranger().tcp(af()).connect({vip(), kPort}), EINPROGRESS);
  EXPECT_EQ(bed().stranger().udp(af()).send_to({vip(), kPort}, "x"), 0);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, ABoundSourcePortIsLeftToThePacketPath) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock taken = bed().pod_a().tcp(af());
  ASSERT_EQ(taken.bind({cast().pod_a, 4000}), 0);
  ASSERT_EQ(taken.connect(at_b(8080)), 0);
  const Counted calls(bed());
  Sock client = bed().pod_a().tcp(af());
  ASSERT_EQ(client.bind({cast().pod_a, 4001}), 0);
  EXPECT_EQ(client.connect(service), EINPROGRESS);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, ProcessesOutsideTheCgroupAreLeftToThePacketPath) {
  Sock listener = server();
  serve({.vip = vip(), .port = kPort, .backends = {backend(8080)}});
  bed().leave_cgroup();
  Sock client = bed().pod_a().tcp(af());
  bed().join_cgroup();
  const Counted calls(bed());
  EXPECT_EQ(client.connect({vip(), kPort}), EINPROGRESS);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, ClientsStayWithTheirBackend) {
  Sock one = server(8080);
  Sock two = server(8081);
  const Peer service{vip(), kPort};
  const std::uint32_t id = serve({.vip = service.address,
                                  .port = service.port,
                                  .backends = {backend(8080), backend(8081)},
                                  .affinity_s = 1000});
  for (const Place* place : {&bed().pod_a(), &bed().pod_b(), &bed().node()}) {
    for (int i = 0; i < kMany; ++i) {
      Sock client = place->tcp(af());
      ASSERT_EQ(client.connect(service), 0);
    }
    weir_affinity_key key{};
    if (place != &bed().node()) key.client = to_abi(place->address(family()));
    key.service = id;
    weir_affinity kept{};
    ASSERT_EQ(bpf_map_lookup_elem(bed().bed().pinned_map("weir_affinity"), &key, &kept), 0)
        << "as the packet path would look for it";
    Sock& meant = ntohs(kept.port) == 8080 ? one : two;
    for (int i = 0; i < kMany; ++i) ASSERT_TRUE(meant.accept());
  }
}

TEST_P(Sockets, SourceRangesAreForThePacketPathToDrop) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  const std::uint32_t id = serve({.vip = service.address,
                                  .port = service.port,
                                  .backends = {backend(8080)},
                                  .flags = WEIR_SERVICE_SOURCE_RANGES});
  bed().services().add_range(id, Cidr(cast().pod_a, family() == Family::kIpv4 ? 32 : 128));
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_b().tcp(af()).connect(service), EINPROGRESS);
  EXPECT_EQ(bed().node().tcp(af()).connect(service), EINPROGRESS);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, ClientsOfTheNodeHaveTheirOwnRow) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address,
         .port = service.port,
         .flags = WEIR_SERVICE_TWO_SCOPES | WEIR_SERVICE_EXTERNAL});
  serve({.vip = service.address,
         .port = service.port,
         .backends = {backend(8080)},
         .scope = WEIR_SCOPE_CLUSTER});
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
  EXPECT_EQ(bed().node().tcp(af()).connect(service), 0);
}

// --- the end of a backend
// -------------------------------------------------------------------------

TEST_P(Sockets, ConnectionsToAPodThatIsGoneEndAtOnce) {
  Sock at_b_server = server();
  Sock at_node = bed().node().tcp_listener({cast().node, 8080});
  const Peer service{vip(1), kPort};
  const Peer other{vip(2), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  serve({.vip = other.address, .port = other.port, .backends = {{cast().node, 8080}}});
  Sock of_pod = bed().pod_a().tcp(af());
  Sock of_node = bed().node().tcp(af());
  Sock direct = bed().pod_a().tcp(af());
  Sock elsewhere = bed().pod_a().tcp(af());
  ASSERT_EQ(of_pod.connect(service), 0);
  ASSERT_EQ(of_node.connect(service), 0);
  ASSERT_EQ(direct.connect(at_b(8080)), 0);
  ASSERT_EQ(elsewhere.connect(other), 0);
  std::size_t asked = 0;
  const auto netns_of = [&](std::uint64_t cookie) -> Result<Netns> {
    ++asked;
    for (const Place* place : {&bed().pod_a(), &bed().node()}) {
      if (place->cookie() == cookie) return place->reopen();
    }
    return Error(Code::kNotFound, "no such namespace");
  };
  auto ended = bed().bed().plane().end_connections({cast().pod_r}, netns_of);
  ASSERT_TRUE(ended) << ended.error().text();
  EXPECT_EQ(*ended, 0u);
  EXPECT_EQ(asked, 0u) << "nobody has such a connection";
  ended = bed().bed().plane().end_connections({cast().pod_r, cast().pod_b}, netns_of);
  ASSERT_TRUE(ended) << ended.error().text();
  EXPECT_EQ(*ended, 2u);
  EXPECT_EQ(asked, 2u);
  EXPECT_EQ(of_pod.error(), ECONNABORTED);
  EXPECT_EQ(of_node.error(), ECONNABORTED);
  EXPECT_EQ(direct.error(), 0) << "not by a Service";
  EXPECT_EQ(elsewhere.error(), 0);
  EXPECT_TRUE(direct.peer() == at_b(8080) && elsewhere.peer() == other);
}

// --- this node's addresses -----------------------------------------------------------------------

TEST_P(Sockets, NodePortsAreServedOnThisNodesAddresses) {
  Sock listener = server();
  serve({.vip = any(), .port = kNodePort, .backends = {backend(8080)}});
  for (const Place* place : {&bed().pod_a(), &bed().node()}) {
    Sock client = place->tcp(af());
    EXPECT_EQ(client.connect({cast().node, kNodePort}), 0);
    EXPECT_EQ(client.peer(), (Peer{cast().node, kNodePort}));
    EXPECT_TRUE(listener.accept());
  }
}

TEST_P(Sockets, NodePortsAreNotServedElsewhere) {
  Sock listener = server();
  serve({.vip = any(), .port = kNodePort, .backends = {backend(8080)}});
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_a().tcp(af()).connect({cast().node_r, kNodePort}), EINPROGRESS);
  for (const Place* place : {&bed().pod_a(), &bed().node()}) {
    EXPECT_EQ(place->tcp(af()).connect({loopback(), kNodePort}), ECONNREFUSED);
    EXPECT_EQ(place->tcp(af()).connect({any(), kNodePort}), ECONNREFUSED) << "this is loopback";
  }
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, AHostPortOnLoopbackIsTheNodesOnly) {
  Sock listener = server();
  serve({.vip = loopback(),
         .port = kPort,
         .backends = {backend(8080)},
         .flags = WEIR_SERVICE_HOST_PORT});
  EXPECT_EQ(bed().node().tcp(af()).connect({loopback(), kPort}), 0);
  EXPECT_EQ(bed().pod_a().tcp(af()).connect({loopback(), kPort}), ECONNREFUSED);
  Sock own = bed().pod_a().tcp_listener({loopback(), kPort});
  Sock client = bed().pod_a().tcp(af());
  EXPECT_EQ(client.connect({loopback(), kPort}), 0);
  EXPECT_TRUE(own.accept());
}

TEST_P(Sockets, NodePortsInUseCannotBeBoundOnTheNode) {
  serve({.vip = any(), .port = kNodePort});
  const auto bind = [&](const Place& place, bool tcp, const Peer& peer) {
    return (tcp ? place.tcp(af()) : place.udp(af())).bind(peer);
  };
  EXPECT_EQ(bind(bed().node(), true, {any(), kNodePort}), EADDRINUSE);
  EXPECT_EQ(bind(bed().node(), true, {cast().node, kNodePort}), EADDRINUSE);
  EXPECT_EQ(bind(bed().node(), false, {any(), kNodePort}), 0) << "no UDP Service has it";
  EXPECT_EQ(bind(bed().node(), true, {any(), kNodePort + 1}), 0) << "no Service has it";
  EXPECT_EQ(bind(bed().node(), true, {any(), kPort}), 0) << "outside the range";
  EXPECT_EQ(bind(bed().node(), true, {loopback(), kNodePort}), 0) << "not served there";
  EXPECT_EQ(bind(bed().pod_a(), true, {any(), kNodePort}), 0) << "a pod's ports are its own";
  EXPECT_EQ(bind(bed().stranger(), true, {any(), kNodePort}), 0);
  EXPECT_EQ(bed().node().tcp(AF_INET6).bind({Address(), kNodePort}), EADDRINUSE)
      << "[::] is IPv4, too";
  serve({.vip = any(), .port = kNodePort, .proto = IPPROTO_UDP});
  EXPECT_EQ(bind(bed().node(), false, {any(), kNodePort}), EADDRINUSE);
}

// --- UDP -----------------------------------------------------------------------------------------

TEST_P(Sockets, DatagramsReachABackendAndAnswersComeFromTheService) {
  Sock listener = udp_server();
  const Peer service{vip(), 53};
  serve({.vip = service.address,
         .port = service.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353)}});
  for (const Place* place : {&bed().pod_a(), &bed().node()}) {
    Sock client = place->udp(af());
    ASSERT_EQ(client.send_to(service, "ask"), 0);
    const auto asked = listener.receive();
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->data, "ask");
    ASSERT_EQ(listener.send_to(asked->from, "answer"), 0);
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->data, "answer");
    EXPECT_EQ(answer->from, service);
  }
}

TEST_P(Sockets, AnswersOfOthersKeepTheirSource) {
  Sock listener = udp_server();
  Sock other = udp_server(5354);
  const Peer service{vip(), 53};
  serve({.vip = service.address,
         .port = service.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353)}});
  Sock client = bed().pod_a().udp(af());
  ASSERT_EQ(client.send_to(service, "ask"), 0);
  const auto asked = listener.receive();
  ASSERT_TRUE(asked);
  ASSERT_EQ(other.send_to(asked->from, "who am I"), 0);
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->from, at_b(5354));
}

TEST_P(Sockets, ConnectedDatagramSocketsAreLeftToThePacketPath) {
  Sock listener = udp_server();
  const Peer service{vip(), 53};
  serve({.vip = service.address,
         .port = service.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353)}});
  const Counted calls(bed());
  Sock client = bed().pod_a().udp(af());
  ASSERT_EQ(client.connect(service), 0);
  EXPECT_EQ(client.peer(), service);
  EXPECT_EQ(client.send_to(service, "by name all the same"), 0);
  EXPECT_TRUE(calls.none());
}

TEST_P(Sockets, ADatagramFlowStaysWithItsBackend) {
  Sock one = udp_server(5353);
  Sock two = udp_server(5354);
  const Peer service{vip(), 53};
  serve({.vip = service.address,
         .port = service.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353), backend(5354)}});
  std::set<bool> seen;
  for (int round = 0; round < kMany; ++round) {
    Sock client = bed().pod_a().udp(af());
    ASSERT_EQ(client.send_to(service, "first"), 0);
    const Counted calls(bed());
    for (int i = 0; i < 4; ++i) ASSERT_EQ(client.send_to(service, "more"), 0);
    EXPECT_EQ(calls.translated(), 4u);
  }
  std::map<Peer, std::set<int>> met;
  for (int i = 0; i < kMany * 5; ++i) {
    const bool from_one = i % 2 == 0;
    auto got = (from_one ? one : two).receive();
    if (!got) break;
    met[got->from].insert(from_one);
    seen.insert(from_one);
  }
  for (const auto& [client, servers] : met) EXPECT_EQ(servers.size(), 1u) << client;
  EXPECT_EQ(seen.size(), 2u) << "both serve";
}

TEST_P(Sockets, ADatagramFlowMovesWhenItsBackendLeaves) {
  Sock one = udp_server(5353);
  Sock two = udp_server(5354);
  const Peer service{vip(), 53};
  const std::uint32_t id = serve({.vip = service.address,
                                  .port = service.port,
                                  .proto = IPPROTO_UDP,
                                  .backends = {backend(5353)}});
  Sock client = bed().pod_a().udp(af());
  ASSERT_EQ(client.send_to(service, "before"), 0);
  ASSERT_TRUE(one.receive());
  bed().services().set_backends(id, {backend(5354)});
  ASSERT_EQ(client.send_to(service, "after"), 0);
  const auto asked = two.receive();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->data, "after");
  ASSERT_EQ(two.send_to(asked->from, "answer"), 0);
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->from, service);
  bed().services().set_backends(id, {});
  EXPECT_EQ(client.send_to(service, "nobody"), ECONNREFUSED);
  bed().services().set_backends(id, {backend(5353)});
  EXPECT_EQ(client.send_to(service, "again"), 0);
  EXPECT_TRUE(one.receive());
}

TEST_P(Sockets, ABackendOfTwoServicesIsOneOfThemToASocket) {
  Sock listener = udp_server();
  const Peer first{vip(1), 53};
  const Peer second{vip(2), 53};
  serve({.vip = first.address,
         .port = first.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353)}});
  const std::uint32_t id = serve({.vip = second.address,
                                  .port = second.port,
                                  .proto = IPPROTO_UDP,
                                  .backends = {backend(5353)}});
  Sock client = bed().pod_a().udp(af());
  ASSERT_EQ(client.send_to(first, "one"), 0);
  const auto asked = listener.receive();
  ASSERT_TRUE(asked);
  {
    const Counted calls(bed());
    ASSERT_EQ(client.send_to(second, "two"), 0);
    bed().services().set_backends(id, {backend(5353), backend(5354)});
    for (int i = 0; i < kMany; ++i) ASSERT_EQ(client.send_to(second, "two"), 0);
    EXPECT_TRUE(calls.none()) << "a flow of the packet path stays one";
  }
  ASSERT_EQ(client.send_to(first, "one"), 0);
  ASSERT_EQ(listener.send_to(asked->from, "answer"), 0);
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->from, first);
}

TEST_P(Sockets, TheFifthServiceOfADatagramSocketGoesByThePacketPath) {
  std::vector<Sock> servers;
  Sock client = bed().pod_a().udp(af());
  for (std::uint8_t i = 1; i <= WEIR_SOCK_FLOWS + 1; ++i) {
    servers.push_back(udp_server(static_cast<std::uint16_t>(6000 + i)));
    serve({.vip = vip(i),
           .port = 53,
           .proto = IPPROTO_UDP,
           .backends = {backend(static_cast<std::uint16_t>(6000 + i))}});
    const Counted calls(bed());
    ASSERT_EQ(client.send_to({vip(i), 53}, "x"), 0);
    EXPECT_EQ(calls.translated(), i <= WEIR_SOCK_FLOWS ? 1u : 0u);
  }
  for (std::uint8_t i = 1; i <= WEIR_SOCK_FLOWS; ++i) {
    const auto asked = servers[i - 1u].receive();
    ASSERT_TRUE(asked);
    ASSERT_EQ(servers[i - 1u].send_to(asked->from, "answer"), 0);
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->from, (Peer{vip(i), 53}));
  }
}

WEIR_BOTH_FAMILIES(Sockets);

// --- IPv4 by IPv6 sockets ------------------------------------------------------------------------

class Mapped : public Sockets {};

TEST_P(Mapped, ConnectSeesTheServiceInItsOwnForm) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock client = bed().pod_a().tcp(AF_INET6);
  ASSERT_EQ(client.connect(service), 0);
  EXPECT_TRUE(listener.accept());
  EXPECT_EQ(client.peer(), service);
  EXPECT_EQ(client.original_dst(Family::kIpv4), service);
}

TEST_P(Mapped, DatagramsSeeTheServiceInItsOwnForm) {
  Sock listener = udp_server();
  const Peer service{vip(), 53};
  serve({.vip = service.address,
         .port = service.port,
         .proto = IPPROTO_UDP,
         .backends = {backend(5353)}});
  Sock client = bed().pod_a().udp(AF_INET6);
  ASSERT_EQ(client.send_to(service, "ask"), 0);
  const auto asked = listener.receive();
  ASSERT_TRUE(asked);
  ASSERT_EQ(listener.send_to(asked->from, "answer"), 0);
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->from, service);
}

TEST_P(Mapped, NoBackendIsRefused) {
  serve({.vip = vip(), .port = kPort});
  EXPECT_EQ(bed().pod_a().tcp(AF_INET6).connect({vip(), kPort}), ECONNREFUSED);
}

TEST_P(Mapped, BindIsGuarded) {
  serve({.vip = any(), .port = kNodePort});
  EXPECT_EQ(bed().node().tcp(AF_INET6).bind({cast().node, kNodePort}), EADDRINUSE);
}

INSTANTIATE_TEST_SUITE_P(, Mapped, testing::Values(Family::kIpv4), family_name);

// --- attachment ----------------------------------------------------------------------------------

class SocketLife : public Sockets {};

TEST_P(SocketLife, TheHooksOutliveTheAgentAndAreAdopted) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock before = bed().pod_a().tcp(af());
  ASSERT_EQ(before.connect(service), 0);
  bed().bed().restart();
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
  ASSERT_TRUE(bed().bed().plane().attach_sockets(bed().cgroup()));
  EXPECT_TRUE(bed().bed().plane().adopted());
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
  EXPECT_EQ(calls.translated(), 1u) << "attached once";
  EXPECT_EQ(before.peer(), service) << "what was translated before is known";
}

TEST_P(SocketLife, OtherSettingsReplaceTheHooksAndKnowOldConnections) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Sock before = bed().pod_a().tcp(af());
  ASSERT_EQ(before.connect(service), 0);
  Settings other = small().settings;
  other.masquerade = false;
  bed().bed().restart(other);
  ASSERT_TRUE(bed().bed().plane().attach_sockets(bed().cgroup()));
  EXPECT_FALSE(bed().bed().plane().adopted());
  const Counted calls(bed());
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
  EXPECT_EQ(calls.translated(), 1u);
  EXPECT_EQ(before.peer(), service);
}

TEST_P(SocketLife, SwitchedOffNothingIsAttachedOrLoaded) {
  Sock listener = server();
  const Peer service{vip(), kPort};
  serve({.vip = service.address, .port = service.port, .backends = {backend(8080)}});
  Settings off = small().settings;
  off.socket_services = false;
  bed().bed().restart(off);
  ASSERT_TRUE(bed().bed().plane().attach_sockets(bed().cgroup()));
  EXPECT_FALSE(bed().bed().pinned_program("sock_connect4"));
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), EINPROGRESS);
  EXPECT_EQ(bed().node().tcp(af()).bind({any(), kNodePort}), 0);
  bed().bed().restart(small().settings);
  bed().bed().apply();
  ASSERT_TRUE(bed().bed().plane().attach_sockets(bed().cgroup()));
  EXPECT_EQ(bed().pod_a().tcp(af()).connect(service), 0);
}

TEST_P(SocketLife, AFolderThatIsNoCgroupIsRefusedByName) {
  const auto attached = bed().bed().plane().attach_sockets("/tmp");
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().text(), testing::HasSubstr("/tmp is not in a cgroup v2"));
  EXPECT_FALSE(bed().bed().plane().attach_sockets("/nowhere"));
}

INSTANTIATE_TEST_SUITE_P(, SocketLife, testing::Values(Family::kIpv4), family_name);

}  // namespace
}  // namespace weir
