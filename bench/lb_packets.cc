// What a packet to a Service costs in the program alone, by BPF_PROG_TEST_RUN: nanoseconds above a
// program that does nothing, for 1, 10k and 500k known flows, of which each packet takes one by
// chance, while 0, 10 or 100 % of the packets open new ones. Both ways in: a pod asks a ClusterIP,
// and a client outside asks a load balancer's address. The backend is a pod of this node. Root.
// JSON; low and high are the quartiles of the rounds.
//   lb_packets [ROUNDS [FLOWS...]]      default 9 rounds; 1 10000 500000 flows
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <vector>

#include "harness/bed.h"
#include "harness/services.h"
#include "lb_fresh.skel.h"

namespace {

using namespace weir;

constexpr int kCpu = 1;
constexpr std::uint32_t kPorts = 32768;  // of one client at one VIP
constexpr std::uint32_t kVips = 32;
constexpr std::uint32_t kNewPerRun = 10'000;
constexpr std::uint32_t kRepeat = 100'000;
constexpr std::uint32_t kVipBase = 0x0a600100;     // 10.96.1.0
constexpr std::uint32_t kClientBase = 0x0b000000;  // 11.0.0.0

BedOptions large() {
  BedOptions options = small();
  options.settings.ct_max = 1'200'000;
  options.settings.events_bytes = 1 << 24;
  return options;
}

void take_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(kCpu, &set);
  sched_param param{};
  param.sched_priority = 50;
  if (sched_setaffinity(0, sizeof set, &set) != 0 || sched_setscheduler(0, SCHED_FIFO, &param) != 0)
    throw std::runtime_error("a CPU of its own");
}

// Where the client is: a pod, at many VIPs, or many clients outside, at one.
struct Side {
  const char* name;
  weir_hook hook;
  std::uint32_t ifindex;
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
  Bench() : bed_(large()), services_(bed_), fresh_(lb_fresh_bpf__open_and_load()) {
    if (fresh_ == nullptr) throw std::runtime_error("load lb_fresh");
    for (std::uint32_t i = 0; i < kVips; ++i) {
      services_.add({.vip = Address::v4(kVipBase + i),
                     .port = 80,
                     .backends = {{cast_.pod_b, static_cast<std::uint16_t>(8080 + i)}},
                     .flags = WEIR_SERVICE_EXTERNAL});
    }
  }
  ~Bench() { lb_fresh_bpf__destroy(fresh_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Opens flows [known, count) of the side, and answers them.
  void open(const Side& side, std::uint32_t known, std::uint32_t count) {
    Bytes out;
    for (std::uint32_t i = known; i < count; ++i) {
      const Packet ask = eth() / ip(side.client(i), side.vip(i)) / tcp(port_of(i), 80, SYN);
      const Packet answer = eth(kMacLink, kMacB) / ip(cast_.pod_b, side.client(i)) /
                            tcp(side.backend_port(i), port_of(i), SYN | ACK);
      if (bed_.run_fast(bed_.program(side.hook), side.ifindex, ask.bytes(), out) != kRedirect ||
          bed_.run_fast(bed_.program(WEIR_HOOK_FROM_POD), kLinkB, answer.bytes(), out) != kRedirect)
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
    const std::uint32_t zero = 0;
    const int program = nothing ? bpf_program__fd(fresh_->progs.nothing) : bed_.program(side.hook);
    if (bpf_map_update_elem(bpf_map__fd(fresh_->maps.under_test), &zero, &program, BPF_ANY) != 0)
      throw std::runtime_error("put the program under test");
    const std::uint32_t repeat =
        opens_every == 0 ? kRepeat : std::min(kRepeat, kNewPerRun * opens_every);
    const double each = test_run(side, repeat, nothing ? kNext : kRedirect);
    if (!nothing) close(side, flows, plan.next_new);
    return each;
  }

  const Cast& cast() const { return cast_; }

 private:
  double test_run(const Side& side, std::uint32_t repeat, int verdict) {
    const Bytes frame = (eth() / ip(side.client(0), side.vip(0)) / tcp(1024, 80, ACK)).bytes();
    __sk_buff ctx{};
    ctx.ifindex = side.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &ctx,
                .ctx_size_in = sizeof ctx, .repeat = static_cast<int>(repeat));
    const auto start = std::chrono::steady_clock::now();
    const int err = bpf_prog_test_run_opts(bpf_program__fd(fresh_->progs.fresh), &options);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    if (err != 0 || static_cast<int>(options.retval) != verdict)
      throw std::runtime_error(fmt::format("test run: {}, verdict {}", err, options.retval));
    return took.count() / repeat;
  }

  const Cast& cast_ = cast_of(Family::kIpv4);
  Bed bed_;
  TestServices services_;
  lb_fresh_bpf* fresh_;
};

// Sorts; q of 4 quarters.
double quartile(std::vector<double>& values, std::size_t q) {
  std::ranges::sort(values);
  return values[(values.size() - 1) * q / 4];
}

void measure(Bench& bench, const Side& side, const std::vector<std::uint32_t>& sizes, int rounds) {
  std::uint32_t known = 0;
  for (const std::uint32_t flows : sizes) {
    bench.open(side, known, flows);
    known = flows;
    std::array<std::vector<double>, 3> net;
    constexpr std::array<std::uint32_t, 3> kOpensEvery = {0, 10, 1};
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
  bench.close(side, 0, known);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  std::vector<std::uint32_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(static_cast<std::uint32_t>(std::atoi(argv[i])));
  if (sizes.empty()) sizes = {1, 10'000, 500'000};
  try {
    Bench bench;
    take_cpu();
    const std::uint32_t pod = 0x0af4010a;  // Cast::pod_a
    if (Address::v4(pod) != bench.cast().pod_a) throw std::runtime_error("pod_a has moved");
    measure(bench, {"pod", WEIR_HOOK_FROM_POD, kLinkA, pod, 0, 1}, sizes, rounds);
    measure(bench, {"outside", WEIR_HOOK_FROM_NET, kUplink, kClientBase, 1, 0}, sizes, rounds);
  } catch (const std::exception& error) {
    std::cerr << "lb_packets: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
