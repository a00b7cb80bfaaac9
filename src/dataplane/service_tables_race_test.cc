// A reader as the programs are, against the writer: no backend of another Service, ever.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <optional>
#include <thread>

#include "dataplane/service_fixture.h"

namespace weir {
namespace {

constexpr std::uint64_t kRounds = 1'000'000;
constexpr std::uint64_t kChanges = 10'000;
constexpr std::uint32_t kServices = 40;

// Backend i of Service n. The port says n as well, so that halves of two backends show.
ServiceBackend backend(std::uint32_t n, std::uint32_t i) {
  return {.address = pod(n * 4096 + i), .port = static_cast<std::uint16_t>(1000 + n * 31 + i % 31)};
}

bool belongs(std::uint32_t n, const weir_backend& one) {
  const std::uint32_t number = ntohl(one.addr.word[3]) - 0x0af40000;
  return number / 4096 == n && ntohs(one.port) == 1000 + n * 31 + number % 4096 % 31;
}

// bpf/lib/service.h, by the same steps.
class Reader {
 public:
  explicit Reader(FakeKernel& kernel) : kernel_(kernel), memory_(kernel.memory()) {}

  // Of Service n; nullopt: none to be had.
  std::optional<weir_backend> select(std::uint32_t n, std::uint32_t hash) {
    weir_service row{};
    weir_service_key key{};
    key.vip = to_abi(vip(n));
    key.port = htons(80);
    key.proto = 6;
    if (!kernel_.row(key, &row)) return std::nullopt;
    if (hash % 2 == 0) {
      if (const auto found = steady(row.set, hash)) return found;
    }
    for (int i = 0; i < 3; ++i) {
      const weir_set extent = set(row.set);
      if (extent.count == 0) return std::nullopt;
      if (const auto found = at(extent.offset + (hash >> 1) % extent.count, row.set)) return found;
    }
    return std::nullopt;
  }

 private:
  template <typename Word>
  static std::uint64_t load(Word* from) {
    return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(from)).load(std::memory_order_acquire);
  }
  weir_set set(std::uint32_t index) const {
    return std::bit_cast<weir_set>(load(memory_.sets + index));
  }
  std::optional<weir_backend> at(std::uint32_t index, std::uint32_t set) const {
    struct {
      std::uint64_t word[4];
    } copy;
    auto* from = reinterpret_cast<std::uint64_t*>(memory_.backends + index);
    for (int i = 0; i < 4; ++i) copy.word[i] = load(from + i);
    std::atomic_thread_fence(std::memory_order_acquire);
    const auto out = std::bit_cast<weir_backend>(copy);
    const auto now = std::bit_cast<std::array<std::uint32_t, 2>>(load(from + 2));
    return now[1] == set ? std::optional(out) : std::nullopt;
  }
  std::optional<weir_backend> steady(std::uint32_t index, std::uint32_t hash) const {
    const weir_set extent = set(index);
    if (extent.count == 0) return std::nullopt;
    if (extent.count > WEIR_RENDEZVOUS_MAX) return by_ring(index, hash);
    std::uint32_t best = 0;
    std::uint32_t slot = extent.offset;
    for (std::uint32_t i = 0; i < extent.count; ++i) {
      const std::uint64_t word =
          load(reinterpret_cast<std::uint64_t*>(memory_.backends + extent.offset + i) + 3);
      const std::uint32_t score = weir_rendezvous(hash, static_cast<std::uint32_t>(word));
      if (score > best) best = score, slot = extent.offset + i;
    }
    return at(slot, index);
  }
  std::optional<weir_backend> by_ring(std::uint32_t index, std::uint32_t hash) const {
    const auto ring = std::bit_cast<weir_ring>(load(memory_.rings + index));
    if (ring.set != index) return std::nullopt;
    const std::uint32_t slot = hash % memory_.maglev_slots;
    auto& words = memory_.ring_slots[ring.offset + slot / 2];
    const auto place = std::atomic_ref(words.backend[slot % 2]).load(std::memory_order_acquire);
    return place == 0 ? std::nullopt : at(place, index);
  }

  FakeKernel& kernel_;
  ServiceMemory memory_;
};

ServicePortEntries random_service(std::uint32_t n, std::mt19937& random) {
  ServicePortEntries out;
  out.frontends = {
      {.address = vip(n), .port = 80, .flags = WEIR_SERVICE_RING | WEIR_SERVICE_EXTERNAL}};
  const auto first = static_cast<std::uint32_t>(random() % 2000);
  const auto count = static_cast<std::uint32_t>(random() % 8 == 0 ? random() % 200 : random() % 9);
  for (std::uint32_t i = first; i < first + count; ++i) out.cluster.push_back(backend(n, i));
  return out;
}

TEST(ServiceTablesRace, NobodyGetsAnothersBackend) {
  // Tight, so that all is used again and again.
  FakeKernel kernel({.rows = 256, .sets = 64, .backends = 1500, .rings = 4, .maglev_slots = 251});
  std::atomic<std::uint64_t> rounds{0};
  std::atomic<bool> stop{false};
  std::uint64_t foreign = 0;
  std::uint64_t found = 0;
  std::thread reader([&] {
    Reader programs(kernel);
    std::mt19937 random(5);
    while (!stop) {
      const auto n = static_cast<std::uint32_t>(random()) % kServices;
      if (const auto one = programs.select(n, static_cast<std::uint32_t>(random()))) {
        ++found;
        foreign += belongs(n, *one) ? 0 : 1;
      }
      ++rounds;
    }
  });
  // A second is longer than any program runs: it passes only when the reader has begun anew.
  const auto second_passes = [&] {
    const std::uint64_t now = rounds;
    while (rounds < now + 2) std::this_thread::yield();
    kernel.now_ms += 1000;
  };
  const auto tables = kernel.agent();
  std::mt19937 random(6);
  std::uint64_t changes = 0;
  for (; rounds < kRounds || changes < kChanges; ++changes) {
    const auto n = static_cast<std::uint32_t>(random()) % kServices;
    const bool gone = random() % 6 == 0;
    tables->apply({{port_key(fmt::format("s{}", n)),
                    gone ? ServicePortEntries() : random_service(n, random)}});
    if (changes % 16 == 0) second_passes();
    if (tables->waiting()) tables->retry();
  }
  stop = true;
  reader.join();
  std::printf("%llu rounds, %llu backends, %llu changes\n",
              static_cast<unsigned long long>(rounds.load()),
              static_cast<unsigned long long>(found), static_cast<unsigned long long>(changes));
  EXPECT_EQ(foreign, 0U);
  EXPECT_GT(found, kRounds / 4);
}

}  // namespace
}  // namespace weir
