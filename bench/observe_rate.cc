// What an event costs the agent: decode, name, filter, remember, count, and one JSON line for each
// of N subscribers.
//   observe_rate [EVENTS]

#include <fmt/format.h>
#include <sys/resource.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "observe/flow_json.h"
#include "observe/flow_recorder.h"

namespace {

using namespace weir;

constexpr std::uint32_t kPods = 110;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

weir_addr raw_address(const Address& address) {
  weir_addr raw;
  std::memcpy(&raw, address.bytes().data(), sizeof raw);
  return raw;
}

// One connection's new, established, closed, between two of the pods.
weir_event event(std::uint32_t i, bool v6) {
  const Address base = v6 ? *Address::parse("fd00::") : Address::v4(0x0af40000);
  weir_event raw{};
  raw.time_ns = std::uint64_t{i} * 20'000;
  raw.src = raw_address(base.plus(1 + i / 3 % kPods));
  raw.dst = raw_address(base.plus(1 + i / 7 % kPods));
  raw.src_port = static_cast<__be16>(i);
  raw.dst_port = 0x901f;
  raw.proto = 6;
  raw.type = static_cast<__u8>(WEIR_EVENT_NEW + i % 3);
  raw.packets[0] = raw.packets[1] = 10;
  raw.bytes[0] = raw.bytes[1] = 12345;
  raw.duration_ns = 1'234'567;
  return raw;
}

void measure(std::uint32_t events, int subscribers, bool v6) {
  std::unordered_map<Address, Name> names;
  for (std::uint32_t pod = 1; pod <= kPods; ++pod) {
    const Name name{NameKind::kPod, "shop", fmt::format("payment-5f6d8c-{:05}", pod), "payment",
                    "n0"};
    names[Address::v4(0x0af40000).plus(pod)] = name;
    names[Address::parse("fd00::")->plus(pod)] = name;
  }
  FlowRecorder recorder([&](const Address& address) -> const Name& { return names.at(address); });
  std::vector<std::unique_ptr<FlowRecorder::Subscription>> subscriptions;
  std::string out;
  std::uint64_t bytes = 0;
  for (int i = 0; i < subscribers; ++i) {
    subscriptions.push_back(recorder.subscribe({}, [&](const Flow& flow) {
      append_flow_json(out, flow, "n0");
      if (out.size() > 65536) {
        bytes += out.size();
        out.clear();
      }
    }));
  }
  const double before = cpu_seconds();
  for (std::uint32_t i = 0; i < events; ++i) {
    const weir_event raw = event(i, v6);
    recorder.on_event(std::as_bytes(std::span(&raw, 1)));
  }
  const double each = (cpu_seconds() - before) / events;
  fmt::print(
      "{} subscribers, IPv{}: {:.0f} ns per event, {:.1f} % of a core at 50k/s, {} B a line\n",
      subscribers, v6 ? 6 : 4, each * 1e9, each * 50'000 * 100,
      bytes / events / static_cast<std::uint64_t>(std::max(1, subscribers)));
}

}  // namespace

int main(int argc, char** argv) {
  const auto events = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 500'000);
  for (const bool v6 : {false, true}) {
    for (const int subscribers : {0, 1, 3}) measure(events, subscribers, v6);
  }
  return 0;
}
