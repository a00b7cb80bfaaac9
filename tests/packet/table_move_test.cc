// Rows of real tables from one layout and capacity to another.
#include "dataplane/table_move.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <map>
#include <vector>

namespace weir {
namespace {

struct Kind {
  const char* name;
  bpf_map_type type;
  std::uint32_t flags;
};

constexpr Kind kKinds[] = {
    {"Hash", BPF_MAP_TYPE_HASH, 0},
    {"HashWithoutPreallocation", BPF_MAP_TYPE_HASH, BPF_F_NO_PREALLOC},
    {"LruHash", BPF_MAP_TYPE_LRU_HASH, 0},
    {"PerCpuHash", BPF_MAP_TYPE_PERCPU_HASH, 0},
    {"Array", BPF_MAP_TYPE_ARRAY, 0},
    {"MappedArray", BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE},
    {"PerCpuArray", BPF_MAP_TYPE_PERCPU_ARRAY, 0},
};

using Names = std::vector<const char*>;

// A table from u32 to a struct of such u32; its type information has to outlive it.
struct Made {
  Btf types{btf__new_empty()};
  ShapedTable table;

  Made(const Kind& kind, const Names& names, std::uint32_t capacity)
      : table(make(kind, names, capacity)) {}

 private:
  ShapedTable make(const Kind& kind, const Names& names, std::uint32_t capacity) {
    const auto bytes = static_cast<std::uint32_t>(4 * names.size());
    const int number = btf__add_int(types.get(), "unsigned int", 4, 0);
    const int row = btf__add_struct(types.get(), "row", bytes);
    for (std::size_t i = 0; i < names.size(); ++i)
      btf__add_field(types.get(), names[i], number, static_cast<std::uint32_t>(32 * i), 0);
    EXPECT_EQ(btf__load_into_kernel(types.get()), 0);
    LIBBPF_OPTS(bpf_map_create_opts, options, .btf_fd = static_cast<__u32>(btf__fd(types.get())),
                .btf_key_type_id = static_cast<__u32>(number),
                .btf_value_type_id = static_cast<__u32>(row), .map_flags = kind.flags);
    Fd fd(bpf_map_create(kind.type, "rows", 4, bytes, capacity, &options));
    EXPECT_TRUE(fd) << errno;
    auto opened = ShapedTable::open(std::move(fd));
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }
};

// A value as system calls have it: the row, once for each CPU.
class Value {
 public:
  explicit Value(const TableShape& shape) : shape_(shape), bytes_(shape.room()) {}
  std::byte* data() { return bytes_.data(); }
  std::uint32_t* row(std::size_t cpu) {
    const std::size_t stride = shape_.is_per_cpu() ? (shape_.value_size + 7U) / 8 * 8 : 0;
    return reinterpret_cast<std::uint32_t*>(bytes_.data() + cpu * stride);
  }
  std::size_t rows() const {
    return shape_.is_per_cpu() ? static_cast<std::size_t>(libbpf_num_possible_cpus()) : 1;
  }

 private:
  TableShape shape_;
  std::vector<std::byte> bytes_;
};

class TableMoves : public testing::TestWithParam<Kind> {
 protected:
  // Row k of CPU n: {100k + n, 100k + n + 50}.
  static void fill(const ShapedTable& table, std::uint32_t rows) {
    for (std::uint32_t key = 0; key < rows; ++key) {
      Value value(table.shape());
      for (std::size_t cpu = 0; cpu < value.rows(); ++cpu) {
        value.row(cpu)[0] = static_cast<std::uint32_t>(100 * key + cpu);
        value.row(cpu)[1] = static_cast<std::uint32_t>(100 * key + cpu + 50);
      }
      ASSERT_EQ(bpf_map_update_elem(table.fd(), &key, value.data(), BPF_ANY), 0);
    }
  }
};

TEST_P(TableMoves, AMemberComesAndGoes) {
  Made before(GetParam(), {"a", "b"}, 8);
  fill(before.table, 5);
  Made changed(GetParam(), {"a", "x", "b"}, 8);
  Made after(GetParam(), {"a", "b"}, 8);
  EXPECT_FALSE(before.table.fits(changed.table.shape()));
  EXPECT_TRUE(before.table.fits(after.table.shape()));
  for (const auto& [from, to] : {std::pair(&before, &changed), std::pair(&changed, &after)}) {
    const auto move = TableMove::plan(from->table, to->table.shape());
    ASSERT_TRUE(move);
    const auto count = move->run(from->table, to->table.fd(), BPF_ANY);
    ASSERT_TRUE(count);
    EXPECT_EQ(count->moved, 5u);
    EXPECT_EQ(count->left, 0u);
  }
  for (std::uint32_t key = 0; key < 5; ++key) {
    Value middle(changed.table.shape()), end(after.table.shape());
    ASSERT_EQ(bpf_map_lookup_elem(changed.table.fd(), &key, middle.data()), 0);
    ASSERT_EQ(bpf_map_lookup_elem(after.table.fd(), &key, end.data()), 0);
    for (std::size_t cpu = 0; cpu < middle.rows(); ++cpu) {
      const auto a = static_cast<std::uint32_t>(100 * key + cpu);
      EXPECT_EQ(std::vector(middle.row(cpu), middle.row(cpu) + 3), (std::vector{a, 0U, a + 50}));
      EXPECT_EQ(std::vector(end.row(cpu), end.row(cpu) + 2), (std::vector{a, a + 50}));
    }
  }
}

TEST_P(TableMoves, ASmallerTableTakesWhatFits) {
  Made before(GetParam(), {"a", "b"}, 64);
  fill(before.table, 64);
  Made after(GetParam(), {"a", "b"}, 16);
  const auto move = TableMove::plan(before.table, after.table.shape());
  ASSERT_TRUE(move);
  const auto count = move->run(before.table, after.table.fd(), BPF_ANY);
  ASSERT_TRUE(count);
  EXPECT_EQ(count->moved + count->left, 64u);
  if (GetParam().type != BPF_MAP_TYPE_LRU_HASH) EXPECT_EQ(count->moved, 16u);
  std::uint64_t found = 0;
  ASSERT_TRUE(after.table.read([&](const ShapedTable::Row&) { ++found; }));
  EXPECT_GT(found, 0u);
  EXPECT_LE(found, 16u);
}

TEST_P(TableMoves, WhatIsThereAlreadyMayBeLeftAlone) {
  if (GetParam().type == BPF_MAP_TYPE_ARRAY || GetParam().type == BPF_MAP_TYPE_PERCPU_ARRAY)
    return;  // all their rows are there
  Made before(GetParam(), {"a", "b"}, 64);
  fill(before.table, 8);
  Made after(GetParam(), {"a", "b"}, 128);
  fill(after.table, 3);
  const auto move = TableMove::plan(before.table, after.table.shape());
  const auto count = move->run(before.table, after.table.fd(), BPF_NOEXIST);
  EXPECT_EQ(count->moved, 5u);
  EXPECT_EQ(count->left, 0u);
}

INSTANTIATE_TEST_SUITE_P(, TableMoves, testing::ValuesIn(kKinds),
                         [](const testing::TestParamInfo<Kind>& kind) {
                           return std::string(kind.param.name);
                         });

TEST(TableMove, ManyRowsAndPrefixes) {
  struct Key {
    std::uint32_t bits;
    std::uint32_t prefix;
  };
  constexpr std::uint32_t kRows = 10'000;  // several batches
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
  const auto make = [&](std::uint32_t capacity) {
    return std::move(*ShapedTable::open(
        Fd(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "prefixes", sizeof(Key), 4, capacity, &options))));
  };
  const ShapedTable before = make(kRows);
  const ShapedTable after = make(2 * kRows);
  for (std::uint32_t i = 0; i < kRows; ++i) {
    const Key key{.bits = 32, .prefix = i};
    ASSERT_EQ(bpf_map_update_elem(before.fd(), &key, &i, BPF_ANY), 0);
  }
  const auto count = TableMove::plan(before, after.shape())->run(before, after.fd(), BPF_ANY);
  ASSERT_TRUE(count);
  EXPECT_EQ(count->moved, kRows);
  for (std::uint32_t i = 0; i < kRows; ++i) {
    const Key key{.bits = 32, .prefix = i};
    std::uint32_t found = 0;
    ASSERT_EQ(bpf_map_lookup_elem(after.fd(), &key, &found), 0);
    ASSERT_EQ(found, i);
  }
}

TEST(TableMove, RowsOfUnknownLayoutAndOtherKindsStay) {
  const auto make = [](bpf_map_type type, std::uint32_t bytes) {
    return std::move(*ShapedTable::open(Fd(bpf_map_create(type, "rows", 4, bytes, 8, nullptr))));
  };
  const ShapedTable hash = make(BPF_MAP_TYPE_HASH, 8);
  EXPECT_FALSE(TableMove::plan(hash, make(BPF_MAP_TYPE_HASH, 12).shape()));
  EXPECT_FALSE(TableMove::plan(hash, make(BPF_MAP_TYPE_PERCPU_HASH, 8).shape()));
  EXPECT_FALSE(TableMove::plan(hash, make(BPF_MAP_TYPE_ARRAY, 8).shape()));
  EXPECT_TRUE(TableMove::plan(hash, make(BPF_MAP_TYPE_LRU_HASH, 8).shape()));
}

}  // namespace
}  // namespace weir
