#pragma once

#include <bpf/libbpf.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "dataplane/hand_over.h"
#include "dataplane/pins.h"
#include "dataplane/table_move.h"

namespace weir {

// What is worth a line at a start.
struct Remarks {
  std::vector<std::string> notes;
  std::vector<std::string> warnings;  // something was lost
};

// Pinned tables that this build wants in another layout or capacity: their rows are taken along
// into those that it makes instead (docs/decisions/0042-tables-are-taken-along.md).
class Migration {
 public:
  // Also what an agent has left that died in the midst of this.
  static Migration begin(const PinPaths& paths);
  // Is to be replaced by the map of that name.
  void add(std::string name, ShapedTable pinned);
  // The programs of bpf/heir.bpf.c are needed.
  bool hands_over() const;
  // Before the object is loaded: its weir_before_* are to take such tables of connections.
  Result<void> shape(const bpf_object* object) const;

  // The steps, in this order: the object is loaded; copy(); pin(); its stage tables are pinned;
  // take_over(); its programs are pinned, and links get them; finish().
  Result<void> copy(const bpf_object* object, Remarks& remarks);
  Result<void> pin(const PinPaths& paths);
  Result<void> take_over(const bpf_object* object, const PinPaths& paths, const std::string& build);
  // What earlier programs have written of late into tables of which the kernel forgets the oldest.
  void finish();

 private:
  struct Replaced {
    std::string name;
    std::unique_ptr<ShapedTable> old;
    Fd made;
    std::optional<TableMove> move;
  };
  Result<void> hand_over(const bpf_object* object, const PinPaths& paths, const std::string& build);
  const Replaced* find(std::string_view name) const;
  bool is_used(const Replaced& connections) const;
  std::vector<int> earlier_connections() const;
  Result<void> show_earlier(const bpf_object* object) const;
  static void hide_earlier(const bpf_object* object);
  Result<void> copy_left(const bpf_object* object);
  Result<void> keep_left(const Replaced& connections, const PinPaths& paths) const;
  Result<void> copy_one(Replaced& one, const TableShape& wanted, Remarks& remarks);

  std::vector<Replaced> replaced_;
  std::vector<std::unique_ptr<ShapedTable>> left_;  // connections, by agents that died
  std::uint32_t begun_ = 0;                         // map id of what the last of them began in
  std::vector<HandOver> hand_overs_;
};

}  // namespace weir
