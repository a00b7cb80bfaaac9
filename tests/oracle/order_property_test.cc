// The tables depend on the objects only: neither on their order, nor on what there was meanwhile,
// nor on how often the agent started.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <memory>
#include <random>

#include "compile/service_tracker.h"
#include "generate.h"
#include "holds.h"
#include "reader.h"

namespace weir::oracle {
namespace {

ServiceContext context_of(const Cluster& cluster) {
  ServiceContext out;
  out.node = cluster.this_node;
  out.external_ips = cluster.external_ips;
  return out;
}

// What an agent knows after a life: all entries, all complaints, and what clients see.
struct End {
  ServiceChanges entries;
  std::vector<std::string> conflicts;
  std::vector<std::string> visible;
  std::vector<ServiceTracker::Health> health;
};

// An agent with its world: the API server's objects and the kernel's tables outlive it.
class Life {
 public:
  Life(const Cluster& end, std::uint32_t seed, unsigned failures) : end_(end), random_(seed) {
    kernel_.failures = failures;
    start();
  }

  void happen(const Change& change) {
    world_.apply(change);
    store_->apply(change);
    for (unsigned again = below(3); again == 0; again = below(3)) store_->apply(change);
    if (below(3) == 0) take(1 + below(3));
    if (below(20) == 0) start();
  }

  // A new agent lists what there is, in any order, and adopts what it finds.
  void start() {
    tables_.reset();
    tracker_.reset();
    store_ = std::make_unique<Store>();
    const bool listed_first = below(2) == 0;
    if (listed_first) list();
    tracker_ = std::make_unique<ServiceTracker>(*store_, context_of(end_));
    if (!listed_first) list();
    entries_.clear();
    tables_ = kernel_.agent();
    while (tracker_->pending()) take(1 + below(4));
    tables_->prune();
  }

  End end() {
    while (tracker_->pending()) take(ServiceTracker::kAll);
    for (int i = 0; i < 300 && tables_->waiting(); ++i) {
      kernel_.now_ms += 1000;
      tables_->retry();
    }
    RC_ASSERT(!tables_->waiting());
    return {entries_, tracker_->conflicts(), kernel_.visible(), tracker_->health()};
  }

  // Another agent finds everything as it should be: no id, set or row changes.
  void restart_for_nothing() {
    std::map<ServicePortKey, std::uint32_t> ids;
    for (const auto& [key, entries] : entries_) ids[key] = tables_->id_of(key);
    tables_ = kernel_.agent();
    tracker_ = std::make_unique<ServiceTracker>(*store_, context_of(end_));
    ServiceTables::Applied applied = tables_->apply(tracker_->take());
    RC_ASSERT(!applied.changed && !applied.judged_again && applied.refused.empty());
    applied = tables_->prune();
    RC_ASSERT(!applied.changed && !applied.judged_again);
    for (const auto& [key, id] : ids) RC_ASSERT(tables_->id_of(key) == id);
  }

  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }
  Store& world() { return world_; }
  std::mt19937& random() { return random_; }

 private:
  void list() {
    std::vector<Change> all;
    const Snapshot& now = world_.snapshot();
    for (const auto& [key, object] : now.nodes) all.emplace_back(Upsert{object});
    for (const auto& [key, object] : now.pods) all.emplace_back(Upsert{object});
    for (const auto& row : now.services) all.emplace_back(Upsert{row.unpack()});
    for (const auto& row : now.slices) all.emplace_back(Upsert{row.unpack()});
    std::ranges::shuffle(all, random_);
    for (const Change& change : all) store_->apply(change);
  }

  void take(std::size_t most) {
    const ServiceChanges changes = tracker_->take(most);
    for (const auto& [key, entries] : changes) {
      if (entries.frontends.empty()) {
        entries_.erase(key);
      } else {
        entries_[key] = entries;
      }
    }
    tables_->apply(changes);
    kernel_.now_ms += below(400);
  }

  const Cluster& end_;
  std::mt19937 random_;
  Store world_;
  FakeKernel kernel_{{.rows = 1024, .sets = 512, .backends = 2048, .rings = 1}};
  std::unique_ptr<Store> store_;
  std::unique_ptr<ServiceTracker> tracker_;
  std::unique_ptr<ServiceTables> tables_;
  ServiceChanges entries_;
};

Change erase(const Object& object) { return Erase{kind_of(object), key_of(object)}; }

bool contains(const Cluster& cluster, const Object& object) {
  for (const Object& one : objects(cluster)) {
    if (kind_of(one) == kind_of(object) && key_of(one) == key_of(object)) return true;
  }
  return false;
}

// Objects of another cluster come and go, those of this one come, are made anew, and stay.
std::vector<Change> way_to(const Cluster& end, const Cluster& other, std::mt19937& random) {
  std::vector<Change> out;
  for (const Object& object : objects(other)) {
    out.emplace_back(Upsert{object});
    if (random() % 3 == 0) out.push_back(erase(object));
  }
  for (const Object& object : objects(end)) {
    out.emplace_back(Upsert{object});
    if (random() % 4 == 0) out.push_back(erase(object));
  }
  std::ranges::shuffle(out, random);
  std::vector<Change> last;
  for (const Object& object : objects(other)) {
    if (!contains(end, object)) last.push_back(erase(object));
  }
  for (const Object& object : objects(end)) last.emplace_back(Upsert{object});
  std::ranges::shuffle(last, random);
  out.insert(out.end(), last.begin(), last.end());
  return out;
}

void expect_equal(const std::vector<std::string>& got, const std::vector<std::string>& wanted) {
  if (got == wanted) return;
  RC_FAIL(fmt::format("at the end of the way\n  {}\nfrom a clean start\n  {}",
                      fmt::join(got, "\n  "), fmt::join(wanted, "\n  ")));
}

void check_life(unsigned failures) {
  const auto end = *any_cluster();
  const auto other = *any_cluster();
  const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
  Life clean(end, seed, 0);
  for (const Object& object : objects(end)) clean.world().apply(Upsert{object});
  clean.start();
  const End wanted = clean.end();
  Life life(end, seed, failures);
  for (const Change& change : way_to(end, other, life.random())) life.happen(change);
  const End got = life.end();
  expect_equal(to_lines(got.entries), to_lines(wanted.entries));
  expect_equal(got.visible, wanted.visible);
  expect_equal(got.visible, expected(got.entries));
  expect_equal(got.conflicts, wanted.conflicts);
  RC_ASSERT(got.health == wanted.health);
  life.restart_for_nothing();
}

TEST(ServiceOrder, TheTablesDependOnTheObjectsOnly) {
  EXPECT_TRUE(holds(400, [] { check_life(0); }));
}

TEST(ServiceOrder, AlsoWhenATenthOfTheWritesFails) {
  EXPECT_TRUE(holds(200, [] { check_life(10); }));
}

}  // namespace
}  // namespace weir::oracle
