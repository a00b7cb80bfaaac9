// Writers against packets on two CPUs: no stale way after a bump, no foreign value ever.
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "harness/bed.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLength = std::chrono::seconds(10);  // per family
constexpr std::uint64_t kRounds = 1'000'000;

class Race : public PacketTest {
 protected:
  // Where the frame was sent, by the link address that the program wrote.
  static bool went_to(const Bytes& out, const Mac& mac) {
    return std::memcmp(out.data(), mac.data(), mac.size()) == 0;
  }
};

// A writer moves pod_b between two links; `settled` is the move whose bump has returned. A packet
// that starts after it must not go the way before it.
TEST_P(Race, NoPacketGoesTheOldWayAfterABump) {
  const Bytes frame =
      (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53) / payload(10)).bytes();
  bed().from_pod(kLinkA, frame);
  std::atomic<std::uint64_t> settled{0}, begun{0};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) {
      const std::uint64_t move = begun.fetch_add(1) + 1;
      weir_endpoint& endpoint = bed().entries().endpoints[cast().pod_b];
      const Mac& mac = move % 2 == 1 ? kMacSpare : kMacB;
      endpoint.ifindex = move % 2 == 1 ? kLinkSpare : kLinkB;
      std::memcpy(endpoint.mac, mac.data(), mac.size());
      bed().apply();
      settled = move;
    }
  });
  std::uint64_t rounds = 0, stale = 0, lost = 0;
  Bytes out(frame.size());
  const auto end = Clock::now() + kLength;
  for (; rounds < kRounds && (rounds % 256 != 0 || Clock::now() < end); ++rounds) {
    const std::uint64_t before = settled;
    const int verdict = bed().run_fast(bed().program(WEIR_HOOK_FROM_POD), kLinkA, frame, out);
    const std::uint64_t after = begun;
    if (verdict != kRedirect) {
      ++lost;
    } else if (after == before) {  // no move has begun meanwhile: there is one right way
      stale += went_to(out, before % 2 == 1 ? kMacSpare : kMacB) ? 0 : 1;
    } else if (!went_to(out, kMacB) && !went_to(out, kMacSpare)) {
      ++stale;
    }
  }
  stop = true;
  writer.join();
  const std::string said =
      fmt::format("{} packets, {} moves, {} lost", rounds, settled.load(), lost);
  RecordProperty("rounds", said);
  std::printf("%s\n", said.c_str());
  EXPECT_EQ(stale, 0u);
  EXPECT_EQ(lost, bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_RACE)) << "a race may cost a packet";
  EXPECT_GT(settled.load(), 100u);
}

// A writer deletes pod_b's endpoint and puts foreign ones in, so that the element is recycled under
// the reader: the packet reaches pod_b or nobody.
TEST_P(Race, RecycledEndpointsAreNeverTakenForAnothers) {
  const int map = bed().pinned_map("weir_endpoint");
  const weir_addr key = to_abi(cast().pod_b);
  weir_endpoint own{};
  ASSERT_EQ(bpf_map_lookup_elem(map, &key, &own), 0);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> writes{0};
  std::thread writer([&] {
    std::vector<weir_addr> strangers;
    for (int i = 0; i < 16; ++i)
      strangers.push_back(to_abi(cast().pod_gone.plus(1U + unsigned(i))));
    for (; !stop; ++writes) {
      bpf_map_delete_elem(map, &key);
      for (const weir_addr& stranger : strangers) {
        weir_endpoint foreign{};
        foreign.id = stranger;
        foreign.ifindex = 9999;
        std::memset(foreign.mac, 0x66, sizeof foreign.mac);
        bpf_map_update_elem(map, &stranger, &foreign, BPF_ANY);
      }
      bpf_map_update_elem(map, &key, &own, BPF_ANY);
      for (const weir_addr& stranger : strangers) bpf_map_delete_elem(map, &stranger);
    }
  });
  std::uint64_t rounds = 0, foreign = 0, reached = 0;
  Bytes frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)).bytes();
  const std::size_t port_at = cast().v4() ? 34 : 54;
  Bytes out(frame.size());
  const auto end = Clock::now() + kLength / 2;
  for (; rounds < kRounds && (rounds % 256 != 0 || Clock::now() < end); ++rounds) {
    if (rounds % 512 == 511) bed().drain();
    frame[port_at] = static_cast<std::uint8_t>(rounds % 2);
    frame[port_at + 1] = static_cast<std::uint8_t>(rounds / 2);
    bed().plane().routes_changed();  // so that each packet looks the endpoint up
    if (bed().run_fast(bed().program(WEIR_HOOK_FROM_POD), kLinkA, frame, out) != kRedirect)
      continue;
    ++reached;
    foreign += went_to(out, kMacB) ? 0 : 1;
  }
  stop = true;
  writer.join();
  std::printf("%llu packets, %llu reached the pod, %llu raced, element recycled %llu times\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(reached),
              static_cast<unsigned long long>(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_RACE)),
              static_cast<unsigned long long>(writes.load()));
  EXPECT_EQ(foreign, 0u);
  EXPECT_GT(reached, 0u);
}

// The same for connections: foreign entries would send the packet to a foreign link, or translate
// it.
TEST_P(Race, RecycledConnectionsAreNeverTakenForAnothers) {
  const Bytes frame = (eth() / ip(cast().pod_a, cast().pod_b) / udp(5000, 53)).bytes();
  bed().from_pod(kLinkA, frame);
  const int map = bed().pinned_map("weir_ct");
  const weir_ct_key key = key_of(cast().pod_a, 5000, cast().pod_b, 53, 17);
  weir_ct own{};
  ASSERT_EQ(bpf_map_lookup_elem(map, &key, &own), 0);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> writes{0};
  std::thread writer([&] {
    for (; !stop; ++writes) {
      bpf_map_delete_elem(map, &key);
      for (std::uint16_t i = 0; i < 16; ++i) {
        weir_ct_key stranger = key_of(cast().pod_r, i, cast().pod_r2, 7, 17);
        weir_ct foreign = own;
        foreign.id = 0x1111111111111111ULL + i;
        foreign.flags = WEIR_CT_NAT;
        foreign.peer.addr[0] = foreign.peer.addr[1] = to_abi(cast().outside_2);
        for (weir_ct_path& path : foreign.path) {
          path.out_ifindex = 9999;
          std::memset(path.mac, 0x66, sizeof path.mac);
        }
        bpf_map_update_elem(map, &stranger, &foreign, BPF_ANY);
      }
      bpf_map_update_elem(map, &key, &own, BPF_ANY);
      for (std::uint16_t i = 0; i < 16; ++i) {
        const weir_ct_key stranger = key_of(cast().pod_r, i, cast().pod_r2, 7, 17);
        bpf_map_delete_elem(map, &stranger);
      }
    }
  });
  const Bytes want =
      (eth(kMacB, kMacLink) / ip(cast().pod_a, cast().pod_b).ttl(63) / udp(5000, 53)).bytes();
  std::uint64_t rounds = 0, foreign = 0, reached = 0;
  Bytes out(frame.size());
  const auto end = Clock::now() + kLength / 2;
  for (; rounds < kRounds && (rounds % 256 != 0 || Clock::now() < end); ++rounds) {
    if (bed().run_fast(bed().program(WEIR_HOOK_FROM_POD), kLinkA, frame, out) != kRedirect)
      continue;
    ++reached;
    foreign += out == want ? 0 : 1;
  }
  stop = true;
  writer.join();
  std::printf("%llu packets, %llu reached the pod, %llu raced, element recycled %llu times\n",
              static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(reached),
              static_cast<unsigned long long>(bed().drops(WEIR_HOOK_FROM_POD, WEIR_DROP_RACE)),
              static_cast<unsigned long long>(writes.load()));
  EXPECT_EQ(foreign, 0u);
  EXPECT_GT(reached, 0u);
}

WEIR_BOTH_FAMILIES(Race);

}  // namespace
}  // namespace weir
