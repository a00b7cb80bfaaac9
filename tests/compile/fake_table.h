#pragma once

#include <cstring>
#include <map>
#include <random>

#include "base/result.h"

namespace weir::cases {

// A map of the kernel, in memory; one write in ten fails.
template <typename Key, typename Value>
class FakeTable {
 public:
  using KeyType = Key;
  using ValueType = Value;
  struct Less {
    bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof a) < 0; }
  };

  explicit FakeTable(std::mt19937& random) : random_(random) {}

  Result<void> update(const Key& key, const Value& value) {
    if (fails()) return Error(Code::kKernel, "update failed, as the test wants");
    rows_[key] = value;
    return {};
  }
  Result<void> erase(const Key& key) {
    if (fails()) return Error(Code::kKernel, "erase failed, as the test wants");
    rows_.erase(key);
    return {};
  }
  template <typename Each>
  Result<void> for_each(Each each) const {
    for (const auto& [key, value] : rows_) each(key, value);
    return {};
  }

 private:
  bool fails() { return random_() % 10 == 0; }

  std::mt19937& random_;
  std::map<Key, Value, Less> rows_;
};

}  // namespace weir::cases
