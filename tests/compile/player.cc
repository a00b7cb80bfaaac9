#include "player.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "agent.h"

namespace weir::cases {
namespace {

std::string name_line(const Names& names, const std::string& key) {
  const auto address = Address::parse(key);
  if (!address) return "";
  const Name& name = names.find(*address);
  const ObjectKey pod{name.namespace_, name.pod};
  return fmt::format("name {} kind={} pod={} workload={} node={}", key, name_kind(name.kind),
                     pod.to_string(), name.workload, name.node);
}

// The line of an entry, or nothing.
std::string line_of(const Agent& agent, const Expectation& wanted) {
  if (wanted.map == "name") return name_line(agent.names(), wanted.key);
  const std::string start = fmt::format("{} {} ", wanted.map, wanted.key);
  for (std::string& line : agent.lines()) {
    if (line.starts_with(start)) return std::move(line);
  }
  return "";
}

bool has_fields(const std::string& line, const std::vector<std::string>& fields) {
  const std::string padded = line + " ";
  return !line.empty() && std::ranges::all_of(fields, [&padded](const std::string& field) {
    return padded.find(" " + field + " ") != std::string::npos;
  });
}

bool holds(const Agent& agent, const Expectation& wanted) {
  const auto conflicts = agent.conflicts();
  switch (wanted.type) {
    case Expectation::Type::kEntry:
      return has_fields(line_of(agent, wanted), wanted.fields);
    case Expectation::Type::kNoEntry:
      return line_of(agent, wanted).empty();
    case Expectation::Type::kNoConflict:
      return conflicts.empty();
    case Expectation::Type::kConflict:
      return std::ranges::any_of(conflicts, [&wanted](const std::string& conflict) {
        return conflict.find(wanted.fields[0]) != std::string::npos;
      });
  }
  return false;
}

class Player {
 public:
  Player(const Case& played, std::uint32_t seed) : case_(played), world_(seed) { restart(); }

  void restart() { agent_ = std::make_unique<Agent>(world_, case_.config); }
  void take(const Event& event) { agent_->take(event); }
  void settle() {
    if (auto failed = agent_->settle()) fail(std::move(*failed));
  }
  void take_and_settle(const std::vector<Event>& events) {
    for (const Event& event : events) {
      take(event);
      settle();
    }
  }

  void check(const Step& step) {
    for (const Expectation& wanted : step.expectations) {
      if (holds(*agent_, wanted)) continue;
      auto lines = agent_->lines();
      if (wanted.map == "name") lines = {name_line(agent_->names(), wanted.key)};
      fail(fmt::format("line {} does not hold; there is\n  {}\nconflicts:\n  {}", wanted.line,
                       fmt::join(lines, "\n  "), fmt::join(agent_->conflicts(), "\n  ")));
    }
  }
  void check_end() {
    if (!case_.steps.empty()) check(case_.steps.back());
  }

  // after_line(step) comes between the events of a line and its expectations.
  template <typename AfterLine>
  void play_lines(AfterLine after_line) {
    for (const Step& step : case_.steps) {
      for (const Event& event : step.events) take(event);
      settle();
      after_line(step);
      check(step);
    }
  }
  void play_lines() {
    play_lines([](const Step&) {});
  }

  // Everything that is there, as the events that make it, last first.
  std::vector<Event> all_reversed() const {
    std::vector<Event> out;
    const Snapshot& snapshot = world_.store.snapshot();
    for (const auto& [key, node] : snapshot.nodes) out.emplace_back(Upsert{node});
    for (const auto& [key, pod] : snapshot.pods) out.emplace_back(Upsert{pod});
    for (const auto& row : snapshot.services) out.emplace_back(Upsert{row.unpack()});
    for (const auto& row : snapshot.slices) out.emplace_back(Upsert{row.unpack()});
    for (const auto& [handle, endpoint] : snapshot.endpoints) out.emplace_back(endpoint);
    std::ranges::reverse(out);
    return out;
  }

  void fail(std::string text) { failures_.push_back(std::move(text)); }
  std::vector<std::string> failures() const { return failures_; }
  const Agent& agent() const { return *agent_; }

 private:
  const Case& case_;
  World world_;
  std::unique_ptr<Agent> agent_;
  std::vector<std::string> failures_;
};

Event undo(const Event& event) {
  if (const auto* upsert = std::get_if<Upsert>(&event)) {
    return Erase{kind_of(upsert->object), key_of(upsert->object)};
  }
  return EraseEndpoint{std::get<Endpoint>(event).handle};
}

void play_split(const Case& played, Player& player) {
  for (const Step& step : played.steps) {
    player.take_and_settle(step.events);
    player.check(step);
  }
}

void play_squashed(const Case& played, Player& player) {
  for (const Step& step : played.steps) {
    for (const Event& event : step.events) player.take(event);
  }
  player.settle();
  player.check_end();
}

void play_duplicates(Player& player) {
  player.play_lines([&player](const Step& step) {
    for (const Event& event : step.events) player.take(event);
    player.settle();
  });
}

void play_restart(Player& player) {
  player.play_lines([&player](const Step&) {
    player.restart();
    player.settle();
  });
}

void play_undone(const Case& played, Player& player) {
  player.play_lines();
  auto events = player.all_reversed();
  std::ranges::transform(events, events.begin(), undo);
  player.take_and_settle(events);
  const Agent& agent = player.agent();
  if (agent.compiled() != compile(Snapshot(), played.config) || !agent.services().empty()) {
    player.fail("something is left after all was deleted");
  }
}

}  // namespace

std::string_view order_name(Order order) {
  switch (order) {
    case Order::kForwards:
      return "forwards";
    case Order::kReversed:
      return "reversed";
    case Order::kSplit:
      return "split";
    case Order::kSquashed:
      return "squashed";
    case Order::kDuplicates:
      return "duplicates";
    case Order::kRestart:
      return "restart";
    case Order::kUndone:
      return "undone";
  }
  return "?";
}

std::vector<std::string> play(const Case& played, Order order, std::uint32_t seed) {
  Player forwards(played, seed);
  forwards.play_lines();
  Player player(played, seed + 1);
  switch (order) {
    case Order::kForwards:
      return forwards.failures();
    case Order::kReversed:
      player.take_and_settle(forwards.all_reversed());
      player.check_end();
      break;
    case Order::kSplit:
      play_split(played, player);
      break;
    case Order::kSquashed:
      play_squashed(played, player);
      break;
    case Order::kDuplicates:
      play_duplicates(player);
      break;
    case Order::kRestart:
      play_restart(player);
      break;
    case Order::kUndone:
      play_undone(played, player);
      return player.failures();
  }
  const Agent& there = player.agent();
  if (there.compiled() != forwards.agent().compiled() ||
      there.services() != forwards.agent().services()) {
    player.fail("the end is not that of forwards");
  }
  return player.failures();
}

}  // namespace weir::cases
