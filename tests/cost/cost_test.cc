// What a packet costs in accesses of maps: measured on programs that count them (counted.bpf.c),
// and compared with the table in docs/packet-cost.md, which this prints when they differ.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <functional>
#include <map>
#include <numeric>

#include "harness/services.h"

namespace weir {
namespace {

constexpr const char* kTable = "docs/packet-cost.md";
constexpr std::uint32_t kCountedIds = 4096;  // COST_MAPS of counted.bpf.c
constexpr std::uint16_t kNodePort = 30080;
constexpr std::uint32_t kLine = 64;
constexpr std::uint32_t kElementHead = 48;  // of a hash table's element before its key, in 6.18

struct Count {
  std::uint64_t lookups;
  std::uint64_t writes;
};

struct Map {
  std::string name;
  std::uint32_t cold_lines;  // of one access, at most: 0 when all CPUs' packets use the same line
};

std::uint32_t lines(std::uint32_t bytes) { return (bytes + kLine - 1) / kLine; }

std::uint32_t cold_lines(const bpf_map_info& map) {
  const auto round8 = [](std::uint32_t bytes) { return (bytes + 7) & ~7U; };
  switch (map.type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
      return 1 + lines(kElementHead + round8(map.key_size) + round8(map.value_size));
    case BPF_MAP_TYPE_LPM_TRIE:
      return 1 + lines(round8(map.key_size) + round8(map.value_size));
    case BPF_MAP_TYPE_ARRAY:
      return map.max_entries > 1 ? lines(map.value_size) : 0;
    default:
      return 0;  // per CPU
  }
}

struct Spent {
  std::uint64_t lookups = 0;
  std::uint64_t writes = 0;
  std::uint64_t cold = 0;
  std::map<std::string, std::uint64_t> cold_maps;  // by name, without "weir_"

  std::string text() const {
    std::vector<std::string> maps;
    for (const auto& [name, times] : cold_maps)
      maps.push_back(times == 1 ? name : fmt::format("{} {}", times, name));
    return fmt::format("{} | {} | {} | {}", lookups, writes, cold, fmt::join(maps, ", "));
  }
};

class PacketCost : public PacketTest {
 protected:
  void SetUp() override {}
  // Also shuts out the flows of the row before.
  void begin(bool tunnel, bool xdp = false) {
    BedOptions options = small();
    options.settings.tunnel = tunnel;
    options.settings.xdp = xdp;
    start(options);
    services_ = std::make_unique<TestServices>(bed());
    find_maps();
  }

  // One row: the first packet of a connection or a further one, which `packet` sends.
  void row(const std::string& what, const std::string& hook, const std::function<void()>& packet) {
    const auto before = counts();
    packet();
    const auto after = counts();
    Spent spent;
    for (const auto& [id, map] : maps_) {
      const std::uint64_t lookups =
          after[id % kCountedIds].lookups - before[id % kCountedIds].lookups;
      const std::uint64_t writes = after[id % kCountedIds].writes - before[id % kCountedIds].writes;
      spent.lookups += lookups;
      spent.writes += writes;
      spent.cold += (lookups + writes) * map.cold_lines;
      if (map.cold_lines != 0 && lookups + writes != 0)
        spent.cold_maps[map.name] += lookups + writes;
    }
    rows_.push_back(fmt::format("| {} | {} | {} |", what, hook, spent.text()));
  }

  Packet from_a(const Address& to, const auto& l4) { return eth() / ip(cast().pod_a, to) / l4; }
  Packet from_outside(const Address& to, const auto& l4) {
    return eth(kMacUplink, kMacGateway) / ip(cast().outside, to) / l4;
  }
  void expect(int verdict, const Outcome& out) { EXPECT_EQ(out.verdict, verdict); }

  std::vector<std::string> rows_;
  std::unique_ptr<TestServices> services_;

 private:
  std::vector<Count> counts() const {
    std::vector<Count> out(kCountedIds);
    for (std::uint32_t i = 0; i < kCountedIds; ++i)
      EXPECT_EQ(bpf_map_lookup_elem(cost_.get(), &i, &out[i]), 0);
    return out;
  }

  // Those of the programs of this bed, by id.
  void find_maps() {
    maps_.clear();
    for (const Fd& program : programs()) {
      std::array<__u32, 64> ids{};
      bpf_prog_info info{};
      info.nr_map_ids = ids.size();
      info.map_ids = reinterpret_cast<__u64>(ids.data());
      __u32 size = sizeof info;
      ASSERT_EQ(bpf_prog_get_info_by_fd(program.get(), &info, &size), 0);
      for (__u32 i = 0; i < info.nr_map_ids; ++i) add(ids.at(i));
    }
    std::map<std::uint32_t, std::uint32_t> slots;
    for (const auto& [id, map] : maps_)
      ASSERT_EQ(++slots[id % kCountedIds], 1U) << "two maps share a counter: " << map.name;
  }

  void add(__u32 id) {
    Fd fd(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    __u32 size = sizeof info;
    ASSERT_EQ(bpf_map_get_info_by_fd(fd.get(), &info, &size), 0);
    const std::string name = info.name;
    if (name == "weir_cost") {
      cost_ = std::move(fd);
    } else if (name.starts_with("weir_")) {
      maps_[id] = {name.substr(5), cold_lines(info)};
    }
  }

  std::vector<Fd> programs() {
    std::vector<Fd> out;
    for (const char* name : {"from_pod", "to_pod", "from_net", "to_net", "xdp"})
      if (Fd fd = bed().pinned_program(name)) out.push_back(std::move(fd));
    for (const char* table : {"weir_stages_in", "weir_stages_out"}) {
      const Fd pin = bed().pinned_program(table);
      for (std::uint32_t stage = 0; stage < WEIR_STAGES; ++stage) {
        __u32 id = 0;
        if (bpf_map_lookup_elem(pin.get(), &stage, &id) == 0)
          out.emplace_back(bpf_prog_get_fd_by_id(id));
      }
    }
    return out;
  }

  std::map<std::uint32_t, Map> maps_;
  Fd cost_;
};

// The table's rows, as this run measures them. Each first packet is followed by an answer, so that
// "a further one" is of an established connection.
class Measured : public PacketCost {
 protected:
  void measure() {
    for (const bool tunnel : {true, false}) {
      begin(tunnel);
      if (tunnel) {
        on_the_node();
        outside();
        services();
      }
      between_nodes(tunnel);
    }
    node_port_elsewhere();
  }

 private:
  // A connection's first packet and a further one, sent by `send`; `answer` comes between them.
  void both(const std::string& way, const std::string& hook,
            const std::function<void(std::uint8_t flags)>& send,
            const std::function<void()>& answer) {
    row(way + ", first", hook, [&] { send(SYN); });
    answer();
    send(ACK);  // tells that it is established
    row(way, hook, [&] { send(ACK); });
  }

  void on_the_node() {
    both(
        "pod to pod of the node", "from_pod",
        [&](std::uint8_t flags) {
          expect(kRedirect, bed().from_pod(kLinkA, from_a(cast().pod_b, tcp(1000, 80, flags))));
        },
        [&] {
          bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) / tcp(80, 1000, SYN | ACK));
        });
    both(
        "node to its pod", "to_pod",
        [&](std::uint8_t flags) {
          expect(kNext, bed().to_pod(kLinkA, eth(kMacA, kMacLink) / ip(cast().node, cast().pod_a) /
                                                 tcp(1001, 80, flags)));
        },
        [&] { bed().from_pod(kLinkA, from_a(cast().node, tcp(80, 1001, SYN | ACK))); });
  }

  void between_nodes(bool tunnel) {
    const std::string way = tunnel ? ", by VXLAN" : ", by native routing";
    const auto arrive = [&](const Packet& packet) {
      return tunnel ? bed().from_tunnel(cast().node_r, packet) : bed().from_nic(packet);
    };
    const Mac to = tunnel ? kMacTunnel : kMacUplink;
    Outcome sent;
    both(
        "pod to a pod of another node" + way, "from_pod",
        [&](std::uint8_t flags) {
          sent = bed().from_pod(kLinkA, from_a(cast().pod_r, tcp(1002, 80, flags)));
          expect(kRedirect, sent);
        },
        [&] {
          arrive(eth(to, kMacNodeR) / ip(cast().pod_r, cast().pod_a) / tcp(80, 1002, SYN | ACK));
        });
    row("the same packet, leaving the node" + way, "to_net", [&] {
      expect(kNext, bed().run({.hook = WEIR_HOOK_TO_NET,
                               .ifindex = tunnel ? kTunnel : kUplink,
                               .mark = kMarkJudged},
                              sent.frame));
    });
    both(
        "from a pod of another node to a pod" + way, "from_net",
        [&](std::uint8_t flags) {
          expect(kRedirect, arrive(eth(to, kMacNodeR) / ip(cast().pod_r, cast().pod_a) /
                                   tcp(1003, 80, flags)));
        },
        [&] { bed().from_pod(kLinkA, from_a(cast().pod_r, tcp(80, 1003, SYN | ACK))); });
  }

  void outside() {
    const auto answer = [&](std::uint8_t flags) {
      expect(kRedirect, bed().from_nic(from_outside(cast().node, tcp(443, 62000, flags))));
    };
    both(
        "pod to the outside, masqueraded", "from_pod",
        [&](std::uint8_t flags) {
          expect(kRedirect, bed().from_pod(kLinkA, from_a(cast().outside, tcp(62000, 443, flags))));
        },
        [&] { answer(SYN | ACK); });
    row("answer from the outside", "from_net", [&] { answer(ACK); });
  }

  void services() {
    services_->add({.vip = cast().vip, .port = 80, .backends = {{cast().pod_b, 8080}}});
    const auto answer = [&](std::uint8_t flags) {
      expect(kRedirect, bed().from_pod(kLinkB, eth() / ip(cast().pod_b, cast().pod_a) /
                                                   tcp(8080, 1004, flags)));
    };
    both(
        "pod to a ClusterIP, backend on the node", "from_pod",
        [&](std::uint8_t flags) {
          expect(kRedirect, bed().from_pod(kLinkA, from_a(cast().vip, tcp(1004, 80, flags))));
        },
        [&] { answer(SYN | ACK); });
    row("answer of the backend", "from_pod", [&] { answer(ACK); });
    add_node_port(cast().pod_a);
    both(
        "outside to a NodePort, backend on the node", "from_net",
        [&](std::uint8_t flags) { expect(kRedirect, knock(flags)); },
        [&] { bed().from_pod(kLinkA, from_a(cast().outside, tcp(8080, 40000, SYN | ACK))); });
  }

  void node_port_elsewhere() {
    begin(true, true);
    ASSERT_TRUE(bed().plane().attach_xdp("up0", kUplink));
    add_node_port(cast().pod_r);
    Outcome sent;
    both(
        "outside to a NodePort, backend on another node", "from_net",
        [&](std::uint8_t flags) {
          sent = knock(flags);
          expect(kRedirect, sent);
        },
        [&] {
          const auto port = Wire::parse(sent.frame)->src_port.value();
          bed().from_tunnel(cast().node_r, eth(kMacTunnel, kMacNodeR) /
                                               ip(cast().pod_r, cast().node) /
                                               tcp(8080, port, SYN | ACK));
        });
    const Fd xdp = bed().pinned_program("xdp");
    const Bytes frame = from_outside(cast().node, tcp(40000, kNodePort, ACK)).bytes();
    const auto run = [&] { return bed().run_xdp(xdp.get(), frame).verdict; };
    run();  // finds the next hop
    row("the same in XDP", "xdp", [&] { EXPECT_EQ(run(), XDP_TX); });
  }

  Outcome knock(std::uint8_t flags) {
    return bed().from_nic(from_outside(cast().node, tcp(40000, kNodePort, flags)));
  }
  void add_node_port(const Address& backend) {
    services_->add({.vip = TestServices::any(GetParam()),
                    .port = kNodePort,
                    .backends = {{backend, 8080}},
                    .flags = WEIR_SERVICE_EXTERNAL});
  }
};

std::vector<std::string> documented() {
  std::ifstream file(kTable);
  std::vector<std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (inside && line.starts_with("| ")) rows.push_back(line);
    inside = inside ? line.starts_with("|") : line.starts_with("|---|---|---|");
  }
  return rows;
}

TEST_P(Measured, IsAsDocumented) {
  measure();
  EXPECT_EQ(rows_, documented()) << kTable << " is to have these rows:\n"
                                 << fmt::format("{}", fmt::join(rows_, "\n"));
}

WEIR_BOTH_FAMILIES(Measured);

}  // namespace
}  // namespace weir
