#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace weir {

// Keeps a table of the kernel equal to what is desired. Knows what it has written, so that a round
// costs what differs. A failed write is tried again in the next round; the end depends on the
// desired state, never on the way there. Value may have a field `version`: the epoch that the row's
// last change is published with. TableType: update(key, value), erase(key) -> Result<void>;
// for_each(fn)
// -> Result<void>.
template <typename TableType>
class Reconciler {
 public:
  using Key = typename TableType::KeyType;
  using Value = typename TableType::ValueType;
  struct Less {
    bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof a) < 0; }
  };
  using Rows = std::map<Key, Value, Less>;

  explicit Reconciler(TableType& table) : table_(table) {}

  // Learns what the table holds, from an earlier run.
  Result<void> adopt() {
    realized_.clear();
    return table_.for_each([this](const Key& key, const Value& value) { realized_[key] = value; });
  }

  // *changed is set when the table was written to. Updates come before deletions; the first error
  // is returned, after everything that could be done was done.
  Result<void> apply(const Rows& desired, std::uint32_t version, bool* changed) {
    std::optional<Error> first;
    for (const auto& [key, value] : desired) put(key, value, version, changed, first);
    for (auto row = realized_.begin(); row != realized_.end();) {
      if (desired.contains(row->first)) {
        ++row;
        continue;
      }
      if (auto erased = table_.erase(row->first); !erased) {
        if (!first) first = erased.error();
        ++row;
        continue;
      }
      *changed = true;
      row = realized_.erase(row);
    }
    if (first) return *first;
    return {};
  }

  const Rows& realized() const { return realized_; }

 private:
  static void set_version(Value& value, std::uint32_t version) {
    if constexpr (requires { value.version; }) value.version = version;
  }

  static bool same(Value a, Value b) {
    set_version(a, 0);
    set_version(b, 0);
    return std::memcmp(&a, &b, sizeof a) == 0;
  }

  void put(const Key& key, Value value, std::uint32_t version, bool* changed,
           std::optional<Error>& first) {
    const auto row = realized_.find(key);
    if (row != realized_.end() && same(row->second, value)) return;
    set_version(value, version);
    if (auto written = table_.update(key, value); !written) {
      if (!first) first = written.error();
      return;
    }
    *changed = true;
    realized_.insert_or_assign(key, value);
  }

  TableType& table_;
  Rows realized_;
};

}  // namespace weir
