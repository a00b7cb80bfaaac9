// Random lives of the Service tables: the end depends on what is desired, never on the way there.
#include <gtest/gtest.h>

#include "dataplane/service_fixture.h"

namespace weir {
namespace {

// Services that come, change and go, and shared addresses that pass from one to another.
class World {
 public:
  explicit World(unsigned seed) : random_(seed) {}

  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }

  // Some of them change; as a tracker would tell it.
  ServiceChanges change() {
    ServiceChanges out;
    for (unsigned i = 0; i <= below(4); ++i) {
      const unsigned n = below(kServices);
      const ServicePortKey key =
          port_key(fmt::format("s{}", n / 2), n % 2 == 0 ? Protocol::kTcp : Protocol::kUdp);
      desired_.erase(key);
      out[key] = {};
      if (below(5) == 0) continue;
      out[key] = desired_[key] = random_entries(n);
    }
    drop_lost_claims(out);
    return out;
  }
  const ServiceChanges& desired() const { return desired_; }

 private:
  static constexpr unsigned kServices = 24;
  static constexpr unsigned kShared = 10;

  ServicePortEntries random_entries(unsigned n) {
    ServicePortEntries out;
    const bool local = below(2) == 0;
    const bool dsr = !local && below(3) == 0;
    out.cluster = random_backends();
    if (local || dsr) {
      for (const auto& one : out.cluster) {
        if (one.this_node) out.local.push_back(one);
      }
    }
    if (below(3) == 0) out.affinity_seconds = 1 + below(3);
    if (below(3) == 0) {
      for (unsigned i = 0; i <= below(3); ++i)
        out.source_ranges.emplace_back(Address::v4(0xc0000000 + (below(6) << 24)), 8);
      std::ranges::sort(out.source_ranges);
      const auto twice = std::ranges::unique(out.source_ranges);
      out.source_ranges.erase(twice.begin(), twice.end());
    }
    const std::uint32_t ranges = out.source_ranges.empty() ? 0 : WEIR_SERVICE_SOURCE_RANGES;
    out.frontends.push_back({.address = vip(n), .port = 80});
    if (n % 2 == 0) {
      out.frontends.push_back({.address = vip(n), .port = 0, .flags = WEIR_SERVICE_OTHER_PORTS});
    }
    for (unsigned i = 0; i < below(4); ++i) {
      const Address shared = vip(1000 + below(kShared));
      const std::uint32_t flags = WEIR_SERVICE_EXTERNAL | WEIR_SERVICE_RING | ranges |
                                  (dsr ? std::uint32_t{WEIR_SERVICE_DSR} : 0);
      if (std::ranges::any_of(out.frontends, [&](auto& row) { return row.address == shared; }))
        continue;
      if (!local) {
        out.frontends.push_back({.address = shared, .port = 80, .flags = flags});
        continue;
      }
      out.frontends.push_back({.address = shared,
                               .port = 80,
                               .flags = flags | WEIR_SERVICE_LOCAL | WEIR_SERVICE_TWO_SCOPES,
                               .local_set = true});
      out.frontends.push_back({.address = shared, .port = 80, .scope = WEIR_SCOPE_CLUSTER});
    }
    std::ranges::sort(out.frontends);
    return out;
  }

  std::vector<ServiceBackend> random_backends() {
    std::map<std::pair<Address, std::uint16_t>, ServiceBackend> out;
    const unsigned count = below(6) == 0 ? 120 + below(80) : below(8);
    for (unsigned i = 0; i < count; ++i) {
      ServiceBackend one{.address = pod(below(300)),
                         .port = static_cast<std::uint16_t>(8080 + below(2)),
                         .this_node = below(3) == 0};
      if (count < 8 && below(4) == 0) one.weight = below(4);
      out[{one.address, one.port}] = one;
    }
    std::vector<ServiceBackend> list;
    for (const auto& [place, one] : out) list.push_back(one);
    return list;
  }

  // The one that changed last has a shared row; who had it has changed as well.
  void drop_lost_claims(ServiceChanges& out) {
    for (const auto& [winner, entries] : out) {
      for (const ServiceFrontend& row : entries.frontends) {
        for (auto& [loser, others] : desired_) {
          if (loser == winner || loser.protocol != winner.protocol) continue;
          const auto lost = std::erase_if(others.frontends, [&](const ServiceFrontend& own) {
            return own.address == row.address && own.port == row.port && row.port != 0;
          });
          if (lost != 0) out[loser] = others;
        }
      }
    }
    for (auto& [key, entries] : out) {
      if (const auto now = desired_.find(key); now != desired_.end()) entries = now->second;
    }
  }

  std::mt19937 random_;
  ServiceChanges desired_;
};

class Life {
 public:
  explicit Life(unsigned seed, unsigned failures = 0) : world_(seed) {
    kernel_.failures = failures;
    tables_ = kernel_.agent();
  }

  void step() {
    const auto before = world_.desired();
    const auto changes = world_.change();
    tables_->apply(changes);
    EXPECT_FALSE(kernel_.failures == 0 && tables_->waiting());
    expect_untouched(before, changes);
    kernel_.now_ms += world_.below(200);
    if (world_.below(4) == 0) restart();
  }

  void restart() {
    std::map<ServicePortKey, std::uint32_t> ids;
    const bool settled = !tables_->waiting();
    for (const auto& [key, entries] : world_.desired()) ids[key] = tables_->id_of(key);
    tables_.reset();
    tables_ = kernel_.agent();
    const auto missed = world_.below(2) == 0 ? world_.change() : ServiceChanges();
    tables_->apply(world_.desired());
    tables_->prune();
    for (const auto& [key, id] : ids) {
      if (!settled || missed.contains(key)) continue;
      EXPECT_EQ(tables_->id_of(key), id) << key.to_string();
    }
  }

  void settle() {
    for (int i = 0; i < 200 && tables_->waiting(); ++i) {
      kernel_.now_ms += 1000;
      tables_->retry();
    }
    EXPECT_FALSE(tables_->waiting());
    EXPECT_EQ(kernel_.visible(), expected(world_.desired()));
  }

  World& world() { return world_; }
  FakeKernel& kernel() { return kernel_; }
  ServiceTables& tables() { return *tables_; }

 private:
  // What did not change is as it was, whatever has failed meanwhile.
  void expect_untouched(const ServiceChanges& before, const ServiceChanges& changes) {
    if (kernel_.failures != 0) return;
    ServiceChanges others;
    for (const auto& [key, entries] : before) {
      if (!changes.contains(key)) others[key] = entries;
    }
    const auto visible = kernel_.visible();
    for (const std::string& line : expected(others)) {
      EXPECT_TRUE(std::ranges::binary_search(visible, line)) << line;
    }
  }

  World world_;
  FakeKernel kernel_{{.rings = 8}};
  std::unique_ptr<ServiceTables> tables_;
};

TEST(ServiceTablesProperty, TheEndDependsOnWhatIsDesiredOnly) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Life life(seed);
    for (int i = 0; i < 100 && !testing::Test::HasFailure(); ++i) {
      life.step();
      if (i % 5 == 0) life.settle();
    }
    life.settle();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ServiceTablesProperty, AlsoWhenATenthOfTheWritesFails) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Life life(seed, 10);
    for (int i = 0; i < 100 && !testing::Test::HasFailure(); ++i) {
      life.step();
      if (i % 10 == 0) life.settle();
    }
    life.settle();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ServiceTablesProperty, NothingIsLeftInTheEnd) {
  Life life(99, 10);
  for (int i = 0; i < 200; ++i) life.step();
  life.settle();
  ServiceChanges gone;
  for (const auto& [key, entries] : life.world().desired()) gone[key] = {};
  life.tables().apply(gone);
  for (int i = 0; i < 200 && life.tables().waiting(); ++i) life.tables().retry();
  EXPECT_EQ(life.kernel().row_count(), 0U);
  EXPECT_EQ(life.kernel().range_count(), 0U);
  const auto use = life.tables().use();
  EXPECT_EQ(use.backends + use.sets + use.rings + use.rows, 0U);
}

// 10^5 changes of sizes, a hundred a second, in a table that is nine tenths full.
TEST(ServiceTablesProperty, ChurnDoesNotFragmentAFullTable) {
  constexpr std::uint32_t kSlots = 65536;
  constexpr std::uint32_t kFill = kSlots * 9 / 10;
  constexpr std::uint32_t kServices = 3600;
  FakeKernel kernel({.rows = 8192, .sets = 8192, .backends = kSlots, .rings = 1});
  const auto tables = kernel.agent();
  std::mt19937 engine(3);
  const auto random = [&](std::uint32_t below) {
    return static_cast<std::uint32_t>(engine()) % below;
  };
  std::vector<std::uint32_t> sizes(kServices, 0);
  std::uint32_t total = 0;
  std::uint64_t refused = 0;
  std::uint64_t waited = 0;
  const auto resize = [&](std::uint32_t which, std::uint32_t size) {
    total += size - sizes[which];
    sizes[which] = size;
    const ServiceChanges change = {
        {port_key(fmt::format("s{}", which)), cluster_ip(which, pods(random(60'000), size))}};
    refused += tables->apply(change).refused.size();
  };
  for (std::uint32_t i = 0; i < kServices; ++i) resize(i, kFill / kServices);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t which = random(kServices);
    const std::uint32_t room = kFill - total + sizes[which];
    resize(which, std::min(room, 1 + random(random(100) == 0 ? 600 : 31)));
    kernel.now_ms += 10;
    if (i % 100 == 0 && tables->waiting()) {
      ++waited;
      refused += tables->retry().refused.size();
    }
  }
  for (int i = 0; i < 10 && tables->waiting(); ++i) {
    kernel.now_ms += 1000;
    tables->retry();
  }
  EXPECT_FALSE(tables->waiting());
  EXPECT_EQ(refused, 0U);
  EXPECT_LT(waited, 250U) << "extents move together when large ones find no place";
  std::printf("%u of %u slots in use, %llu of 1000 seconds began with something waiting\n", total,
              kSlots, static_cast<unsigned long long>(waited));
  EXPECT_EQ(tables->use().backends, total);
}

}  // namespace
}  // namespace weir
