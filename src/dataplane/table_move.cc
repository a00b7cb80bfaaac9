#include "dataplane/table_move.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

namespace weir {
namespace {

constexpr __u32 kBatch = 4096;  // more than ever hang on one bucket

bool is_array(std::uint32_t type) {
  return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

bool has_rows(std::uint32_t type) {
  switch (type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_LPM_TRIE:
      return true;
    default:
      return is_array(type);
  }
}

std::size_t cpus() {
  static const int count = libbpf_num_possible_cpus();
  return count > 0 ? static_cast<std::size_t>(count) : 1;
}

// Of one CPU's value.
std::size_t stride(const TableShape& shape) { return (shape.value_size + 7U) / 8 * 8; }

bool same_layout(const BtfType& from, const BtfType& to, std::size_t bytes) {
  if (from.info == nullptr || to.info == nullptr) return true;
  return BtfCopy::plan(from, to).is_whole(bytes);
}

std::optional<BtfCopy> copy_of(const BtfType& from, std::size_t from_bytes, const BtfType& to,
                               std::size_t to_bytes) {
  if (from.info != nullptr && to.info != nullptr) return BtfCopy::plan(from, to);
  if (from_bytes == to_bytes) return BtfCopy::whole(to_bytes);
  return std::nullopt;
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte one) { return one == std::byte{0}; });
}

}  // namespace

TableShape TableShape::of(const bpf_object* object, const bpf_map* map) {
  TableShape out;
  out.type = static_cast<std::uint32_t>(bpf_map__type(map));
  out.key_size = bpf_map__key_size(map);
  out.value_size = bpf_map__value_size(map);
  out.capacity = bpf_map__max_entries(map);
  out.flags = bpf_map__map_flags(map);
  const btf* info = bpf_object__btf(object);
  const std::uint32_t key = bpf_map__btf_key_type_id(map);
  const std::uint32_t value = bpf_map__btf_value_type_id(map);
  if (info != nullptr && key != 0) out.key = {.info = info, .id = key};
  if (info != nullptr && value != 0) out.value = {.info = info, .id = value};
  return out;
}

bool TableShape::is_per_cpu() const {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

std::size_t TableShape::room() const { return is_per_cpu() ? stride(*this) * cpus() : value_size; }

Result<ShapedTable> ShapedTable::open(Fd fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_map_get_info_by_fd(fd.get(), &info, &size) != 0) return errno_error(errno, "map info");
  ShapedTable out;
  out.fd_ = std::move(fd);
  out.shape_.type = info.type;
  out.shape_.key_size = info.key_size;
  out.shape_.value_size = info.value_size;
  out.shape_.capacity = info.max_entries;
  out.shape_.flags = info.map_flags;
  if (info.btf_id != 0) out.btf_.reset(btf__load_from_kernel_by_id(info.btf_id));
  if (out.btf_ == nullptr) return out;
  const btf* types = out.btf_.get();
  if (info.btf_key_type_id != 0) out.shape_.key = {.info = types, .id = info.btf_key_type_id};
  if (info.btf_value_type_id != 0) out.shape_.value = {.info = types, .id = info.btf_value_type_id};
  return out;
}

bool ShapedTable::fits(const TableShape& wanted) const {
  return shape_.type == wanted.type && shape_.key_size == wanted.key_size &&
         shape_.value_size == wanted.value_size && shape_.capacity == wanted.capacity &&
         shape_.flags == wanted.flags && same_layout(shape_.key, wanted.key, wanted.key_size) &&
         same_layout(shape_.value, wanted.value, wanted.value_size);
}

Result<void> ShapedTable::read(const std::function<void(const Row&)>& each) const {
  const std::size_t room = shape_.room();
  std::vector<std::byte> keys(std::size_t{kBatch} * shape_.key_size);
  std::vector<std::byte> values(std::size_t{kBatch} * room);
  std::vector<std::byte> cursor(std::max<std::size_t>(shape_.key_size, sizeof(__u32)));
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  for (bool first = true;; first = false) {
    __u32 count = kBatch;
    const int err = bpf_map_lookup_batch(fd_.get(), first ? nullptr : cursor.data(), cursor.data(),
                                         keys.data(), values.data(), &count, &options);
    if (err != 0 && err != -ENOENT) return errno_error(-err, "read a table");
    for (__u32 i = 0; i < count; ++i) {
      each({std::span(keys).subspan(std::size_t{i} * shape_.key_size, shape_.key_size),
            std::span(values).subspan(std::size_t{i} * room, room)});
    }
    if (err == -ENOENT) return {};
  }
}

TableMove::TableMove(BtfCopy key, BtfCopy value, const TableShape& from, const TableShape& to)
    : key_(std::move(key)), value_(std::move(value)), from_(from), to_(to) {
  for (TableShape* shape : {&from_, &to_}) shape->key = shape->value = {};
}

std::optional<TableMove> TableMove::plan(const ShapedTable& table, const TableShape& to) {
  const TableShape& from = table.shape();
  if (!has_rows(from.type) || !has_rows(to.type) || from.is_per_cpu() != to.is_per_cpu() ||
      is_array(from.type) != is_array(to.type))
    return std::nullopt;
  auto key = copy_of(from.key, from.key_size, to.key, to.key_size);
  auto value = copy_of(from.value, from.value_size, to.value, to.value_size);
  if (!key || !value) return std::nullopt;
  return TableMove(std::move(*key), std::move(*value), from, to);
}

void TableMove::convert(const ShapedTable::Row& row, std::span<std::byte> key,
                        std::span<std::byte> value) const {
  std::ranges::fill(key, std::byte{0});
  std::ranges::fill(value, std::byte{0});
  key_.run(row.first.data(), key.data());
  const std::size_t times = to_.is_per_cpu() ? cpus() : 1;
  for (std::size_t i = 0; i < times; ++i) {
    value_.run(row.second.data() + i * stride(from_), value.data() + i * stride(to_));
  }
}

std::vector<std::byte> TableMove::key_of(std::span<const std::byte> old) const {
  std::vector<std::byte> key(to_.key_size);
  key_.run(old.data(), key.data());
  return key;
}

Result<TableMove::Count> TableMove::run(const ShapedTable& from, int to, std::uint64_t flags,
                                        const Edit& edit) const {
  std::vector<std::byte> key(to_.key_size);
  std::vector<std::byte> value(to_.room());
  Count count;
  WEIR_TRY(from.read([&](const ShapedTable::Row& row) {
    if (is_array(from_.type) && is_zero(row.second)) return;  // as the new one is
    convert(row, key, value);
    if (edit && !edit(row, key, value)) return;
    if (bpf_map_update_elem(to, key.data(), value.data(), flags) == 0)
      ++count.moved;
    else if (errno != EEXIST)
      ++count.left;
  }));
  return count;
}

}  // namespace weir
