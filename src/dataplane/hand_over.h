#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "dataplane/pins.h"
#include "dataplane/table_move.h"

namespace weir {

// The connection table of an earlier build, whose programs go on using it, and the one that takes
// its place. No connection may be in neither, and none in both with two fates:
//   1. copy() while the earlier programs go on;
//   2. take_over(): what their table does not know they hand on to this build's programs, so that
//      no connection begins there any more; what began since copy() follows; then all they know is
//      of a past epoch, so everything is handed on; what they had counted is added.
// From before 2. until what began since is copied, programs see the earlier table, too, as they
// claim source ports. After that links may get this build's programs one by one.
class HandOver {
 public:
  // Programs of this build, of bpf/heir.bpf.c; borrowed.
  struct Heirs {
    int in = -1;
    int out = -1;
    int merge = -1;
  };

  // nullopt: the rows cannot be taken along. `to`, `types`: this build's table.
  static std::optional<HandOver> plan(const ShapedTable& from, int to, const TableShape& types);

  Result<TableMove::Count> copy();
  // Instead, where an agent died between the two: what it has not copied.
  Result<TableMove::Count> copy_missing();
  // state: weir_state as the earlier programs read it.
  // From all builds that have stage tables pinned, but this one. More than one table is taken along
  // where an agent died in the midst of it.
  // copied: called when all rows are in this build's table.
  static Result<void> take_over(std::span<const HandOver> tables, const PinPaths& paths,
                                const std::string& build, const Heirs& heirs,
                                const ShapedTable& state, const std::function<void()>& copied);

 private:
  struct Layout {
    explicit Layout(const BtfType& value);
    std::optional<BtfMember> id, epoch, state, flags, seen, path, packets, bytes, created_ns,
        replied_ns;
  };

  HandOver(const ShapedTable& from, int to, TableMove move, const TableShape& types);
  TableMove::Edit made_after(std::uint64_t since_ns) const;
  bool prepare(const ShapedTable::Row& old, std::span<std::byte> key,
               std::span<std::byte> value) const;
  Result<void> merge(int program) const;

  const ShapedTable* from_;
  int to_;
  TableMove move_;
  Layout old_;
  Layout new_;
  bool shrinks_;
  std::uint64_t copied_ns_ = 0;  // CLOCK_MONOTONIC, before copy() has begun
};

}  // namespace weir
