#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dataplane/btf_copy.h"

namespace weir {

// What a table of the kernel is like.
struct TableShape {
  std::uint32_t type = 0;  // enum bpf_map_type
  std::uint32_t key_size = 0;
  std::uint32_t value_size = 0;
  std::uint32_t capacity = 0;
  std::uint32_t flags = 0;
  BtfType key;  // info null: nothing is known of it
  BtfType value;

  // Of what libbpf is about to make, or has made.
  static TableShape of(const bpf_object* object, const bpf_map* map);
  bool is_per_cpu() const;
  // Bytes of a value as system calls have it.
  std::size_t room() const;
};

// A table that is there, and its shape.
class ShapedTable {
 public:
  static Result<ShapedTable> open(Fd fd);

  int fd() const { return fd_.get(); }
  const TableShape& shape() const { return shape_; }
  // Its type, sizes, capacity and the layout of keys and values are those of `wanted`.
  bool fits(const TableShape& wanted) const;

  using Row = std::pair<std::span<const std::byte>, std::span<const std::byte>>;
  // In pieces, each consistent; rows that come or go meanwhile may be missed.
  Result<void> read(const std::function<void(const Row&)>& each) const;

 private:
  Fd fd_;
  Btf btf_;
  TableShape shape_;
};

// Rows of a table of an earlier run -> another one, of another layout or capacity.
class TableMove {
 public:
  // nullopt: such rows cannot be taken along (rings, storage of sockets, no type information).
  static std::optional<TableMove> plan(const ShapedTable& from, const TableShape& to);

  // May change a row of the new layout, or leave it out.
  using Edit = std::function<bool(const ShapedTable::Row& old, std::span<std::byte> key,
                                  std::span<std::byte> value)>;
  struct Count {
    std::uint64_t moved = 0;
    std::uint64_t left = 0;  // had no room
  };
  // flags: BPF_ANY, or BPF_NOEXIST to leave alone what is there already.
  Result<Count> run(const ShapedTable& from, int to, std::uint64_t flags,
                    const Edit& edit = {}) const;

  // The key that a row has in the new layout.
  std::vector<std::byte> key_of(std::span<const std::byte> old) const;

 private:
  TableMove(BtfCopy key, BtfCopy value, const TableShape& from, const TableShape& to);
  void convert(const ShapedTable::Row& row, std::span<std::byte> key,
               std::span<std::byte> value) const;

  BtfCopy key_;
  BtfCopy value_;
  TableShape from_;  // both without type information: that may be gone
  TableShape to_;
};

}  // namespace weir
