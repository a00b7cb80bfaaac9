#include "agent/sweeper.h"

#include <spdlog/spdlog.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/dataplane.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto kSweepEvery = 2s;
constexpr auto kSweepHurried = 1s;

std::uint64_t refused_connections(const std::array<weir_metric, WEIR_METRICS>& metrics) {
  std::uint64_t sum = 0;
  for (std::uint32_t hook = 0; hook < WEIR_HOOKS; ++hook) {
    const std::uint32_t full = std::uint32_t{WEIR_OUTCOME_DROP} + std::uint32_t{WEIR_DROP_CT_FULL};
    sum += metrics[WEIR_METRIC_INDEX(hook, full)].packets;
  }
  return sum;
}

}  // namespace

Sweeper::Sweeper(boost::asio::io_context& loop, Table table, std::uint32_t max, OnEvent on_ended)
    : loop_(loop), table_(std::move(table)), max_(max), on_ended_(std::move(on_ended)) {}

Sweeper::~Sweeper() { thread_.join(); }

void Sweeper::start() {
  refused_ = table_.refused();
  sweep_soon(0ms);  // counts the connections that were adopted
}

void Sweeper::hurry() {
  if (!hurrying_) sweep_soon(0ms);
}

void Sweeper::sweep_soon(std::chrono::milliseconds delay) {
  timer_.expires_after(delay);
  timer_.async_wait([this](const auto& error) {
    if (!error) sweep_once();
  });
}

// A full table is known by its drops: they are counted also when events are off or lost.
const weir_sweep& Sweeper::choose_limits() {
  const std::uint64_t refused = table_.refused();
  const bool full = std::exchange(refused_, refused) != refused;
  if (full && !hurrying_) {
    spdlog::warn("the connection table is full: sweeping with short limits; raise --ct-max");
  }
  hurrying_ = full;
  if (full) return kHurriedLimits;
  return connections_ > max_ / 4 ? kBusyLimits : kIdleLimits;
}

void Sweeper::sweep_once() {
  const weir_sweep& limits = choose_limits();
  post([this, hurried = hurrying_, limits] {
    auto ended = std::make_shared<std::vector<weir_event>>();
    const auto keep = [&ended](std::span<const std::byte> event) {
      weir_event copy;
      std::memcpy(&copy, event.data(), sizeof copy);
      ended->push_back(copy);
    };
    auto done = table_.sweep(limits, keep);
    if (done && hurried) done = table_.sweep(kHurriedLimits, keep);  // the second pass deletes
    const std::uint64_t left = table_.count();
    boost::asio::post(loop_, [this, ended, left, done] {
      if (!done) spdlog::error("{}", done.error().text());
      for (const weir_event& event : *ended) on_ended_(std::as_bytes(std::span(&event, 1)));
      connections_ = left;
      sweep_soon(hurrying_ ? kSweepHurried : kSweepEvery);
    });
  });
}

Sweeper::Table connection_table(Dataplane& plane) {
  return {
      .refused = [&plane] { return refused_connections(plane.metrics()); },
      .sweep = [&plane](const weir_sweep& limits,
                        const Sweeper::OnEvent& on_ended) { return plane.sweep(limits, on_ended); },
      .count = [&plane] { return plane.count_connections(); }};
}

}  // namespace weir
