// What a packet of a known connection costs in the program alone, by BPF_PROG_TEST_RUN: nanoseconds
// above a program that does nothing, with 1, 10k and 1M connections in the table, of which each
// packet takes one by chance; and what the first packet of one costs. IPv4, TCP. Root. JSON lines;
// low and high are the quartiles of the rounds.
//   packet_ns [ROUNDS [CONNECTIONS...]]      default 9 rounds; 1 10000 1000000 connections
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <vector>

#include "alone.h"
#include "harness/bed.h"
#include "lb_fresh.skel.h"

namespace {

using namespace weir;

constexpr std::uint32_t kPorts =
    32768;  // blocks of connections: 80, 81, ... are their servers' ports
constexpr std::uint32_t kFirstPort = 1024;
constexpr std::uint32_t kRepeat = 100'000;
constexpr std::uint32_t kFirsts = 10'000;  // connections opened by a measurement

// One direction of a way: where its packets meet a program of ours.
struct Direction {
  const char* title;
  weir_hook hook;
  std::uint32_t ifindex;
  bool tunnelled = false;  // out of the tunnel, sent by node_r
  int verdict = kRedirect;
};

struct Way {
  bool tunnel;
  Address client, server;  // as the first packet has them
  Address answered;        // as answers are sent to: the client, or what stands for it
  Direction ask, answer;
};

std::uint32_t number(const Address& address) {
  const auto text = to_abi(address);
  return ntohl(text.word[3]);
}

class Bench {
 public:
  explicit Bench(bool tunnel) : bed_(large(tunnel)), fresh_(lb_fresh_bpf__open_and_load()) {
    if (fresh_ == nullptr) throw std::runtime_error("load lb_fresh");
    fresh_->bss->port_step = 1;
    fresh_->data->ports = kPorts;
    fresh_->data->first_port = kFirstPort;
    std::ranges::copy(kMacUplink, fresh_->bss->link);
  }
  ~Bench() { lb_fresh_bpf__destroy(fresh_); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  // Connections [known, count) of the way, answered.
  void open(const Way& way, std::uint32_t known, std::uint32_t count) {
    begin(way, false, known, count);
    answer(way, known, count);
  }
  // Nanoseconds of one packet of one of `flows` connections.
  double cost(const Way& way, bool answers, std::uint32_t flows) {
    const double base = run(way, answers, flows, 0, kRepeat, true);
    return run(way, answers, flows, 0, kRepeat, false) - base;
  }
  // Nanoseconds of the first packet of a connection; `known` of them are there, and more
  // afterwards.
  double first(const Way& way, std::uint32_t& known) {
    fresh_->bss->next_new = known;
    const double base = run(way, false, known, 1, kFirsts, true);
    fresh_->bss->next_new = known;
    const double each = run(way, false, known, 1, kFirsts, false) - base;
    answer(way, known, known + kFirsts);
    known += kFirsts;
    return each;
  }
  const Cast& cast() const { return cast_of(Family::kIpv4); }

 private:
  static BedOptions large(bool tunnel) {
    BedOptions options = small();
    options.settings.tunnel = tunnel;
    options.settings.ct_max = 2'500'000;  // a masqueraded connection has two entries
    options.settings.nat_port_min = kFirstPort;
    options.settings.events_bytes = 1 << 24;
    return options;
  }

  // The first packets or the first answers of connections [from, to).
  void begin(const Way& way, bool answers, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t at = from; at < to; at += kRepeat) {
      fresh_->bss->next_new = at;
      run(way, answers, to, 1, std::min(kRepeat, to - at), false);
    }
    bed_.drain();
  }

  // After it both ends have spoken, and the client once more: nothing is half-open.
  void answer(const Way& way, std::uint32_t from, std::uint32_t to) {
    begin(way, true, from, to);
    fresh_->bss->goes_on = true;
    begin(way, false, from, to);
    fresh_->bss->goes_on = false;
  }

  double run(const Way& way, bool answers, std::uint32_t flows, std::uint32_t opens_every,
             std::uint32_t repeat, bool nothing) {
    const Direction& direction = answers ? way.answer : way.ask;
    auto& plan = *fresh_->bss;
    fresh_->data->flows = flows;
    plan.opens_every = opens_every;
    plan.answers = answers;
    plan.client_base = number(answers ? way.answered : way.client);
    plan.vip_base = number(way.server);
    const int program = under_test(direction, nothing);
    const Bytes frame = (eth() / ip(way.client, way.server) / tcp(1, 2, ACK)).bytes();
    __sk_buff context{};
    context.ifindex = direction.ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<__u32>(frame.size()), .ctx_in = &context,
                .ctx_size_in = sizeof context, .repeat = static_cast<int>(repeat));
    return alone::timed(program, options, nothing ? kNext : direction.verdict);
  }

  // The generator, with the program of this direction behind it.
  int under_test(const Direction& direction, bool nothing) {
    if (direction.hook == WEIR_HOOK_TO_POD) {
      put(fresh_->maps.out_under_test,
          nothing ? bpf_program__fd(fresh_->progs.out_nothing) : bed_.program(direction.hook));
      return bpf_program__fd(fresh_->progs.out_fresh);
    }
    int program = nothing ? bpf_program__fd(fresh_->progs.nothing) : bed_.program(direction.hook);
    if (direction.tunnelled)
      program = bed_.behind_tunnel(cast().node_r, Settings().tunnel_vni, program);
    put(fresh_->maps.under_test, program);
    return bpf_program__fd(fresh_->progs.fresh);
  }

  static void put(const bpf_map* map, int program) {
    const std::uint32_t zero = 0;
    if (bpf_map_update_elem(bpf_map__fd(map), &zero, &program, BPF_ANY) != 0)
      throw std::runtime_error("put the program under test");
  }

  Bed bed_;
  lb_fresh_bpf* fresh_;
};

std::vector<Way> ways() {
  const Cast& cast = cast_of(Family::kIpv4);
  return {
      {.tunnel = true,
       .client = cast.pod_a,
       .server = cast.pod_b,
       .answered = cast.pod_a,
       .ask = {"pod to pod of the node", WEIR_HOOK_FROM_POD, kLinkA},
       .answer = {"answer of that pod", WEIR_HOOK_FROM_POD, kLinkB}},
      {.tunnel = true,
       .client = cast.pod_a,
       .server = cast.pod_r,
       .answered = cast.pod_a,
       .ask = {"pod to another node, VXLAN", WEIR_HOOK_FROM_POD, kLinkA},
       .answer = {"from another node to a pod, VXLAN", WEIR_HOOK_FROM_NET, kTunnel, true}},
      {.tunnel = false,
       .client = cast.pod_a,
       .server = cast.pod_r,
       .answered = cast.pod_a,
       .ask = {"pod to another node, native", WEIR_HOOK_FROM_POD, kLinkA},
       .answer = {"from another node to a pod, native", WEIR_HOOK_FROM_NET, kUplink}},
      {.tunnel = true,
       .client = cast.pod_a,
       .server = cast.outside,
       .answered = cast.node,
       .ask = {"pod to the outside, masqueraded", WEIR_HOOK_FROM_POD, kLinkA},
       .answer = {"answer from the outside", WEIR_HOOK_FROM_NET, kUplink}},
      {.tunnel = true,
       .client = cast.node,
       .server = cast.pod_a,
       .answered = cast.node,
       .ask = {"node to its pod", WEIR_HOOK_TO_POD, kLinkA, false, kNext},
       .answer = {"pod to its node", WEIR_HOOK_FROM_POD, kLinkA, false, kNext}},
  };
}

void tell(const char* title, const char* packet, std::uint32_t flows, std::vector<double>& ns) {
  std::cout << fmt::format(
      R"({{"way":"{}","packet":"{}","connections":{},"ns":{:.1f},"low":{:.1f},"high":{:.1f}}})"
      "\n",
      title, packet, flows, alone::quartile(ns, 2), alone::quartile(ns, 1), alone::quartile(ns, 3));
}

void measure(const Way& way, const std::vector<std::uint32_t>& sizes, int rounds) {
  Bench bench(way.tunnel);
  std::uint32_t known = 0;
  for (const std::uint32_t flows : sizes) {
    if (flows > known) {
      bench.open(way, known, flows);
      known = flows;
    }
    std::vector<double> asks, answers, firsts;
    for (int round = 0; round < rounds; ++round) {
      asks.push_back(bench.cost(way, false, flows));
      answers.push_back(bench.cost(way, true, flows));
    }
    for (int round = 0; round < rounds; ++round) firsts.push_back(bench.first(way, known));
    tell(way.ask.title, "known", flows, asks);
    tell(way.answer.title, "known", flows, answers);
    tell(way.ask.title, "first", flows, firsts);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 9;
  std::vector<std::uint32_t> sizes;
  for (int i = 2; i < argc; ++i) sizes.push_back(static_cast<std::uint32_t>(std::atoi(argv[i])));
  if (sizes.empty()) sizes = {1, 10'000, 1'000'000};
  try {
    alone::take_cpu();
    for (const Way& way : ways()) measure(way, sizes, rounds);
  } catch (const std::exception& error) {
    std::cerr << "packet_ns: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
