// What a packet to a Service costs in the program alone, by BPF_PROG_TEST_RUN: nanoseconds above a
// program that does nothing, for 1, 10k and 500k known flows, of which each packet takes one by
// chance, while 0, 10 or 100 % of the packets open new ones. A pod asks a ClusterIP, and a client
// outside asks a load balancer's address; the backend is a pod of this node. By XDP, known flows of
// clients outside to a backend of another node, without a tunnel. Root. JSON; low and high are the
// quartiles of the rounds.
//   lb_packets [ROUNDS [FLOWS...]]      default 9 rounds; 1 10000 500000 flows
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <vector>

#include "alone.h"
#include "harness/bed.h"
#include "harness/services.h"
#include "lb_fresh.skel.h"

namespace {

using namespace weir;
using alone::quartile;
using alone::timed;

constexpr std::uint32_t kPorts = 32768;  // of one client at one VIP
constexpr std::uint32_t kVips = 32;
constexpr std::uint32_t kNewPerRun = 10'000;
constexpr std::uint32_t kRepeat = 100'000;
constexpr std::uint32_t kVipBase = 0x0a600100;     // 10.96.1.0
constexpr std::uint32_t kClientBase = 0x0b000000;  // 11.0.0.0

BedOptions large(bool xdp) {
  BedOptions options = small();
  options.settings.xdp = xdp;
  options.settings.tunnel = !xdp;
  if (xdp) options.settings.nat_port_min = 1024;  // enough ports towards one backend
  options.settings.ct_max = 1'200'000;
  options.settings.events_bytes = 1 << 24;
  return options;
}

// Where the client is: a pod, at many VIPs, or many clients outside, at one.
struct Side {
  const char* name;
  weir_hook hook;  // where flows are opened
  std::uint32_t ifindex;
  bool xdp;
  std::uint32_t client_base, client_step, vip_step;

  Address client(std::uint32_t flow) const {
    return Address::v4(client_base + flow / kPorts * client_step);
  }
  Address vip(std::uint32_t flow) const { return Address::v4(kVipBase + flow / kPorts * vip_step); }
  std::uint16_t backend_port(std::uint32_t flow) const {
    return static_cast<std::uint16_t>(8080 + flow / kPorts * vip_step);
  }
};

std::uint16_t port_of(std::uint32_t flow) {
  return static_cast<std::uint16_t>(1024 + flow % kPorts);
}

class Bench {
 public:
  explicit Bench(bool xdp)
      : bed_(large(xdp)),
        services_(bed_),
        backend_(xdp ? cast_.pod_r : cast_.pod_b),
        fresh_(lb_fresh_bpf__open_and_load()) {
    if (fresh_ == nullptr) throw std::runtime_error("load lb_fresh");
    for (std::uint32_t i = 0; i < kVips; ++i) {
      services_.add({.vip = Address::v4(kVipBase + i),
                     .port = 80,
                     .backends = {{backend_, static_cast<std::uint16_t>(8080 + i)}},
                     .flags = WEIR_SERVICE_EXTERNAL});
    }
    if (!xdp) return;
    // The kernel lets a test run name a link only when its driver has XDP.
    if (!bed_.plane().attach_xdp("up0", kUplink)) throw std::runtime_error("attach XDP");
    xdp_ = bed_.pinned_program("xdp");
  }
  ~Bench() { lb_fresh_bpf__destroy(fresh_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Opens flows [known, count) of the side, and answers them.
  void open(const Side& side, std::uint32_t known, std::uint32_t count) {
    Bytes out;
    for (std::uint32_t i = known; i < count; ++i) {
      const Packet ask = eth() / ip(side.client(i), side.vip(i)) / tcp(port_of(i), 80, SYN);
      if (bed_.run_fast(bed_.program(side.hook), side.ifindex, ask.bytes(), out) != kRedirect ||
          !answer(side, *Wire::parse(out)) || !go_on(side, i))
        throw std::runtime_error(fmt::format("flow {} was not opened: {}", i, describe(out)));
      if (i % 10'000 == 0) bed_.drain();
    }
    bed_.drain();
  }
  void close(const Side& side, std::uint32_t first, std::uint32_t end) {
    const int table = bed_.pinned_map("weir_ct");
    for (std::uint32_t i = first; i < end; ++i) {
      const auto ask = key_of(side.client(i), port_of(i), side.vip(i), 80, 6);
      const auto answer = key_of(side.client(i), port_of(i), cast_.pod_b, side.backend_port(i), 6);
      if (bpf_map_delete_elem(table, &ask) != 0 || bpf_map_delete_elem(table, &answer) != 0)
        throw std::runtime_error(fmt::format("flow {} is not in the table", i));
    }
    bed_.drain();
  }

  // Nanoseconds of one packet, of which every `opens_every`-th opens a flow beyond the `flows`.
  double run(const Side& side, std::uint32_t flows, std::uint32_t opens_every, bool nothing) {
    auto& plan = *fresh_->bss;
    auto& fixed = *fresh_->data;
    fixed.flows = flows;
    fixed.ports = kPorts;
    plan.opens_every = opens_every;
    plan.next_new = flows;
    plan.client_base = side.client_base;
    plan.client_step = side.client_step;
    plan.vip_base = kVipBase;
    plan.vip_step = side.vip_step;
    std::ranges::copy(kMacUplink, plan.link);
    const std::uint32_t repeat =
        opens_every == 0 ? kRepeat : std::min(kRepeat, kNewPerRun * opens_every);
    if (side.xdp) return xdp_run(side, repeat, nothing);
    put(fresh_->maps.under_test,
        nothing ? bpf_program__fd(fresh_->progs.nothing) : bed_.program(side.hook));
    const double each = test_run(side, repeat, nothing ? kNext : kRedirect);
    if (!nothing) close(side, flows, plan.next_new);
    return each;
  }

 private:
  static void put(const bpf_map* map, int program) {
    const std::uint32_t zero = 0;
    if (bpf_map_update_elem(bpf_map__fd(map), &zero, &program, BPF_ANY) != 0)
      throw std::runtime_error("put the program under test");
  }
  // The backend answers what it was sent.
  bool answer(const Side& side, const Wire& sent) {
    Bytes out;
    const Packet packet = eth(kMacLink, kMacB) / ip(sent.ip_dst, sent.ip_src) /
                          tcp(*sent.dst_port, *sent.src_port, SYN | ACK);
    const weir_hook hook = side.xdp ? WEIR_HOOK_FROM_NET : WEIR_HOOK_FROM_POD;
    return bed_.run_fast(bed_.program(hook), side.xdp ? kUplink : kLinkB, packet.bytes(), out) ==
           kRedirect;
  }
  // XDP leaves what is being opened to the hook behind it.
  bool go_on(const Side& side, std::uint32_t flow) {
    Bytes out;
    const Packet ack = eth() / ip(side.client(flow), side.vip(flow)) / tcp(port_of(flow), 80, ACK);
    return bed_.run_fast(bed_.program(side.hook), side.ifindex, ack.bytes(), out) == kRedirect;
  }
  double xdp_run(const Side& side, std::uint32_t repeat, bool nothing) {
    put(fresh_->maps.xdp_under_test,
        nothing ? bpf_program__fd(fresh_->progs.xdp_nothing) : xdp_.get());
    const Bytes frame = (eth() / ip(side.client(0), side.vip(0)) / tcp(1024, 80, ACK)).bytes();
    xdp_md ctx{};
    ctx.data_end = static_cast<__u32>(frame.size());
    ctx.ingress_ifindex = side.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &ctx,
                .ctx_size_in = sizeof ctx, .repeat = static_cast<int>(repeat));
    return timed(bpf_program__fd(fresh_->progs.xdp_fresh), options, nothing ? XDP_PASS : XDP_TX);
  }
  double test_run(const Side& side, std::uint32_t repeat, int verdict) {
    const Bytes frame = (eth() / ip(side.client(0), side.vip(0)) / tcp(1024, 80, ACK)).bytes();
    __sk_buff ctx{};
    ctx.ifindex = side.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &ctx,
                .ctx_size_in = sizeof ctx, .repeat = static_cast<int>(repeat));
    return timed(bpf_program__fd(fresh_->progs.fresh), options, verdict);
  }

  const Cast& cast_ = cast_of(Family::kIpv4);
  Bed bed_;
  TestServices services_;
  Address backend_;
  lb_fresh_bpf* fresh_;
  Fd xdp_;
};

void measure(Bench& bench, const Side& side, const std::vector<std::uint32_t>& sizes, int rounds) {
  std::uint32_t known = 0;
  for (const std::uint32_t flows : sizes) {
    bench.open(side, known, flows);
    known = flows;
    constexpr std::array<std::uint32_t, 3> kOpensEvery = {0, 10, 1};
    std::vector<std::vector<double>> net(side.xdp ? 1 : kOpensEvery.size());
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < net.size(); ++i) {
        const double base = bench.run(side, flows, kOpensEvery.at(i), true);
        net.at(i).push_back(bench.run(side, flows, kOpensEvery.at(i), false) - base);
      }
    }
    for (std::size_t i = 0; i < net.size(); ++i) {
      std::cout << fmt::format(
          R"({{"side":"{}","flows":{},"syn_percent":{},"ns":{:.1f},"low":{:.1f},"high":{:.1f}}})"
          "\n",
          side.name, flows, std::array{0, 10, 100}.at(i), quartile(net.at(i), 2),
          quartile(net.at(i), 1), quartile(net.at(i), 3));
    }
  }
  if (!side.xdp) bench.close(side, 0, known);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  std::vector<std::uint32_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(static_cast<std::uint32_t>(std::atoi(argv[i])));
  if (sizes.empty()) sizes = {1, 10'000, 500'000};
  try {
    const std::uint32_t pod = 0x0af4010a;  // Cast::pod_a
    if (Address::v4(pod) != cast_of(Family::kIpv4).pod_a) throw std::runtime_error("pod_a");
    alone::take_cpu();
    {
      Bench bench(false);
      measure(bench, {"pod", WEIR_HOOK_FROM_POD, kLinkA, false, pod, 0, 1}, sizes, rounds);
      measure(bench, {"outside", WEIR_HOOK_FROM_NET, kUplink, false, kClientBase, 1, 0}, sizes,
              rounds);
    }
    Bench bench(true);
    measure(bench, {"xdp", WEIR_HOOK_FROM_NET, kUplink, true, kClientBase, 1, 1}, sizes, rounds);
  } catch (const std::exception& error) {
    std::cerr << "lb_packets: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
