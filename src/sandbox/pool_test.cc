#include "sandbox/pool.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <rapidcheck/state.h>

#include <algorithm>

namespace weir {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

class Pool : public testing::Test {
 protected:
  CidrPool make(const char* cidr) {
    return CidrPool(*Cidr::parse(cidr),
                    {.rest_ns = 30 * kSecond,
                     .now = [this] { return now_; },
                     .note = [this](const std::string& text) { notes_.push_back(text); }});
  }
  static std::string text(const Result<Address>& address) {
    return address ? address->to_string() : address.error().text();
  }
  std::uint64_t now_ = 1000 * kSecond;
  std::vector<std::string> notes_;
};

TEST_F(Pool, ReservedAddressesAreNotGiven) {
  auto v4 = make("10.0.0.0/29");
  EXPECT_EQ(v4.use().size, 5U);
  EXPECT_EQ(text(v4.allocate("a", {})), "10.0.0.2");
  auto v6 = make("fd00::/64");
  EXPECT_EQ(text(v6.allocate("a", {})), "fd00::2");
  for (const char* one : {"10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.0.8", "fd00::5"}) {
    EXPECT_EQ(v4.allocate("b", *Address::parse(one)).error().code(), Code::kInvalid) << one;
  }
  for (const char* cidr : {"10.0.0.4/32", "10.0.0.4/31", "fd00::1/128"}) {
    EXPECT_EQ(make(cidr).allocate("a", {}).error().code(), Code::kUnavailable) << cidr;
  }
}

TEST_F(Pool, AnOwnerKeepsItsAddress) {
  auto pool = make("10.0.0.0/24");
  EXPECT_EQ(text(pool.allocate("a", {})), "10.0.0.2");
  EXPECT_EQ(text(pool.allocate("a", {})), "10.0.0.2");
  EXPECT_EQ(text(pool.allocate("b", {})), "10.0.0.3");
  EXPECT_EQ(pool.allocate("a", *Address::parse("10.0.0.9")).error().code(), Code::kExists);
  EXPECT_EQ(pool.allocate("c", *Address::parse("10.0.0.2")).error().code(), Code::kExists);
}

TEST_F(Pool, FreedAddressesRestTheOldestComesBackFirst) {
  auto pool = make("10.0.0.0/29");
  for (const char* owner : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(pool.allocate(owner, {}));
  EXPECT_TRUE(pool.release("c"));
  now_ += kSecond;
  EXPECT_TRUE(pool.release("a"));
  EXPECT_FALSE(pool.release("a"));
  EXPECT_EQ(pool.allocate("x", *Address::parse("10.0.0.4")).error().code(), Code::kUnavailable);
  now_ += 30 * kSecond;
  EXPECT_EQ(text(pool.allocate("x", {})), "10.0.0.4");
  EXPECT_TRUE(notes_.empty());
}

TEST_F(Pool, EarlyReuseIsTheLastResortAndIsTold) {
  auto pool = make("10.0.0.0/29");
  for (const char* owner : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(pool.allocate(owner, {}));
  EXPECT_EQ(text(pool.allocate("x", {})),
            "address pool 10.0.0.0/29 is exhausted: 5 addresses, 5 used, 0 resting");
  pool.release("b");
  now_ += 2 * kSecond;
  EXPECT_EQ(pool.use().resting, 1U);
  EXPECT_EQ(text(pool.allocate("x", {})), "10.0.0.3");
  EXPECT_EQ(pool.use().reused_early, 1U);
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_NE(notes_[0].find("10.0.0.3 is used again after 2000 ms"), std::string::npos) << notes_[0];
}

TEST_F(Pool, ARestartKeepsOwnersAndRest) {
  auto before = make("10.0.0.0/24");
  ASSERT_TRUE(before.allocate("a", {}));
  ASSERT_TRUE(before.allocate("b", {}));
  before.release("a");
  auto after = make("10.0.0.0/24");
  EXPECT_TRUE(after.restore("b", *Address::parse("10.0.0.3")));
  after.restore_resting(before.resting());
  EXPECT_EQ(text(after.allocate("c", {})), "10.0.0.4");
  EXPECT_FALSE(after.restore("d", *Address::parse("10.0.0.3")));
  EXPECT_FALSE(after.restore("b", *Address::parse("10.0.0.9")));
  EXPECT_TRUE(after.restore("old", *Address::parse("192.0.2.1"))) << "of a range no longer ours";
  EXPECT_TRUE(after.release("old"));
  EXPECT_EQ(after.use().resting, 1U);
}

TEST_F(Pool, TimesFromTheFutureRestAsIfFreedNow) {
  auto pool = make("10.0.0.0/29");
  pool.restore_resting({{*Address::parse("10.0.0.2"), now_ + 1000 * kSecond}});
  now_ += 31 * kSecond;
  EXPECT_EQ(pool.use().resting, 0U);
}

TEST_F(Pool, AChurningLargePoolKeepsABoundedMemory) {
  auto pool = make("fd00::/64");
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(pool.allocate("a", {}));
    pool.release("a");
    now_ += kSecond;
  }
  EXPECT_LE(pool.allocate("a", {})->bytes()[14], 0x11) << "addresses are found again";
}

// The naive model: every address with its owner or the time it was freed; all looked through.
struct Model {
  std::map<int, std::string> owners;                 // last byte of the address
  std::vector<std::pair<std::uint64_t, int>> freed;  // in order of freeing
  std::uint64_t now = 0;

  std::optional<int> held_by(const std::string& owner) const {
    for (const auto& [address, one] : owners) {
      if (one == owner) return address;
    }
    return std::nullopt;
  }
  std::optional<int> next() const {
    for (int address = 2; address <= 6; ++address) {
      const bool was_freed =
          std::ranges::find(freed, address, [](const auto& f) { return f.second; }) != freed.end();
      if (!owners.contains(address) && !was_freed) return address;
    }
    if (freed.empty()) return std::nullopt;
    return freed.front().second;
  }
  void take(int address, const std::string& owner) {
    std::erase_if(freed, [=](const auto& f) { return f.second == address; });
    owners[address] = owner;
  }
};

struct System {
  std::shared_ptr<std::uint64_t> now = std::make_shared<std::uint64_t>(0);
  CidrPool pool{*Cidr::parse("10.0.0.0/29"),
                {.rest_ns = 30, .now = [now = now] { return *now; }, .note = [](const auto&) {}}};
};

using Command = rc::state::Command<Model, System>;

std::string any_owner() {
  return *rc::gen::element<std::string>("a", "b", "c", "d", "e", "f", "g");
}

struct Allocate : Command {
  std::string owner = any_owner();

  void apply(Model& model) const override {
    if (model.held_by(owner)) return;
    if (const auto next = model.next()) model.take(*next, owner);
  }
  void run(const Model& model, System& system) const override {
    const auto held = model.held_by(owner);
    const auto wanted = held ? held : model.next();
    const auto got = system.pool.allocate(owner, {});
    RC_ASSERT(static_cast<bool>(got) == wanted.has_value());
    if (got) RC_ASSERT(int{got->bytes()[15]} == *wanted);
  }
};

struct Release : Command {
  std::string owner = any_owner();

  void apply(Model& model) const override {
    const auto held = model.held_by(owner);
    if (!held) return;
    model.owners.erase(*held);
    model.freed.emplace_back(model.now, *held);
  }
  void run(const Model& model, System& system) const override {
    RC_ASSERT(system.pool.release(owner) == model.held_by(owner).has_value());
  }
};

struct Wait : Command {
  int time = *rc::gen::inRange(0, 40);

  void apply(Model& model) const override { model.now += static_cast<std::uint64_t>(time); }
  void run(const Model& model, System& system) const override {
    *system.now += static_cast<std::uint64_t>(time);
    const auto resting = std::ranges::count_if(
        model.freed, [&](const auto& f) { return *system.now < f.first + 30; });
    RC_ASSERT(system.pool.use().resting == static_cast<std::uint64_t>(resting));
    RC_ASSERT(system.pool.use().used == model.owners.size());
  }
};

RC_GTEST_PROP(PoolModel, AgreesWithTheNaiveOne, ()) {
  System system;
  rc::state::check(Model{}, system, rc::state::gen::execOneOfWithArgs<Allocate, Release, Wait>());
}

}  // namespace
}  // namespace weir
