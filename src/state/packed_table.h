#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "model/key.h"
#include "state/packing.h"

namespace weir {

// A value as few bytes, made again whenever it is looked at.
template <typename T>
class PackedRow {
 public:
  explicit PackedRow(const T& value) : block_(block_of(pack(value))) {}
  PackedRow(const PackedRow& other) : block_(block_of(other.bytes())) {}
  PackedRow(PackedRow&&) noexcept = default;
  PackedRow& operator=(const PackedRow&) = delete;
  ~PackedRow() = default;

  T unpack() const {
    T out;
    weir::unpack(bytes(), out);
    return out;
  }
  // Namespace and name; good until the row changes.
  std::pair<std::string_view, std::string_view> key() const {
    std::string_view rest = bytes();
    const std::string_view first = take_text(rest);
    return {first, take_text(rest)};
  }
  // REQUIRES: the key is the same. Const, for so are the elements of a set.
  void replace(PackedRow row) const { block_ = std::move(row.block_); }

  friend bool operator==(const PackedRow& a, const PackedRow& b) { return a.bytes() == b.bytes(); }

 private:
  using Block = std::unique_ptr<char[]>;  // 32 bits of size, then the bytes

  std::string_view bytes() const {
    std::uint32_t size = 0;
    std::memcpy(&size, block_.get(), sizeof size);
    return {block_.get() + sizeof size, size};
  }
  static Block block_of(std::string_view bytes) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    auto block = std::make_unique_for_overwrite<char[]>(sizeof size + size);
    std::memcpy(block.get(), &size, sizeof size);
    bytes.copy(block.get() + sizeof size, size);
    return block;
  }

  mutable Block block_;
};

// By namespace and name, as ObjectKey.
struct PackedOrder {
  using is_transparent = void;
  using Key = std::pair<std::string_view, std::string_view>;

  template <typename T>
  static Key key(const PackedRow<T>& row) {
    return row.key();
  }
  static Key key(const ObjectKey& key) { return {key.namespace_, key.name}; }

  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return key(a) < key(b);
  }
};

// std::map<ObjectKey, T> in a fifth of its memory. A row stays where it is, whatever is written
// there, until it is erased.
template <typename T>
using PackedTable = std::set<PackedRow<T>, PackedOrder>;

}  // namespace weir
