#pragma once

#include <bpf/btf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace weir {

struct BtfFree {
  void operator()(btf* info) const { btf__free(info); }
};
using Btf = std::unique_ptr<btf, BtfFree>;

// A type in its type information.
struct BtfType {
  const btf* info = nullptr;
  std::uint32_t id = 0;
};

// Where a member lies in its struct.
struct BtfMember {
  std::size_t offset = 0;
  std::size_t size = 0;
};
std::optional<BtfMember> find_member(const BtfType& type, std::string_view name);

// A value of one layout -> the same of another, by the names of members: those that both have are
// copied, through nested structs and arrays, new ones are left as they are (zero), others are lost.
// Unsigned integers of another width keep their low bytes; anything else must have kept its size.
class BtfCopy {
 public:
  static BtfCopy plan(const BtfType& from, const BtfType& to);
  // Without type information: as it is.
  static BtfCopy whole(std::size_t bytes) { return BtfCopy({{0, 0, bytes}}); }

  void run(const std::byte* from, std::byte* to) const;
  // REQUIRES: both are of so many bytes. They are laid out alike.
  bool is_whole(std::size_t bytes) const {
    return moves_.size() == 1 && moves_[0].from == 0 && moves_[0].to == 0 &&
           moves_[0].size == bytes;
  }

 private:
  struct Move {
    std::size_t from = 0;
    std::size_t to = 0;
    std::size_t size = 0;
  };
  explicit BtfCopy(std::vector<Move> moves) : moves_(std::move(moves)) {}
  void add(const BtfType& from, std::size_t from_at, const BtfType& to, std::size_t to_at);
  void add_members(const BtfType& from, std::size_t from_at, const BtfType& to, std::size_t to_at);
  void add_array(const BtfType& from, std::size_t from_at, const BtfType& to, std::size_t to_at);
  void move(std::size_t from, std::size_t to, std::size_t size);

  std::vector<Move> moves_;
};

}  // namespace weir
