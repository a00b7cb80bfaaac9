// Type information of two layouts -> which bytes go where.
#include "dataplane/btf_copy.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace weir {
namespace {

struct Found {
  BtfType type;
  std::size_t offset = 0;
};

// Without typedefs and qualifiers.
struct Plain {
  BtfType type;
  const btf_type* what = nullptr;
  bool big_endian = false;  // __be16, __be32
};

Plain plain(const BtfType& type) {
  if (type.info == nullptr) return {};
  Plain out{.type = type, .what = btf__type_by_id(type.info, type.id)};
  while (out.what != nullptr && (btf_is_mod(out.what) || btf_is_typedef(out.what))) {
    const char* name = btf__name_by_offset(type.info, out.what->name_off);
    out.big_endian |= btf_is_typedef(out.what) && std::string_view(name).starts_with("__be");
    out.type.id = out.what->type;
    out.what = btf__type_by_id(type.info, out.type.id);
  }
  return out;
}

std::size_t size_of(const BtfType& type) {
  const std::int64_t size = btf__resolve_size(type.info, type.id);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

// Members of nameless structs and unions count as members of what they are in. Bit fields do not.
std::optional<Found> find(const BtfType& type, std::string_view name) {
  const Plain outer = plain(type);
  if (outer.what == nullptr || !btf_is_composite(outer.what)) return std::nullopt;
  const btf_member* members = btf_members(outer.what);
  for (std::uint32_t i = 0; i < btf_vlen(outer.what); ++i) {
    const std::uint32_t bits = btf_member_bit_offset(outer.what, i);
    if (bits % 8 != 0 || btf_member_bitfield_size(outer.what, i) != 0) continue;
    const BtfType member{.info = type.info, .id = members[i].type};
    const std::string_view own = btf__name_by_offset(type.info, members[i].name_off);
    if (own == name) return Found{.type = member, .offset = bits / 8};
    if (!own.empty()) continue;
    if (auto inner = find(member, name)) {
      inner->offset += bits / 8;
      return inner;
    }
  }
  return std::nullopt;
}

bool is_scalar(const btf_type* what) {
  return btf_is_int(what) || btf_is_any_enum(what) || btf_is_ptr(what) || btf_is_float(what);
}

bool is_counting_number(const Plain& type) {
  return btf_is_int(type.what) && (btf_int_encoding(type.what) & BTF_INT_SIGNED) == 0 &&
         !type.big_endian;
}

}  // namespace

std::optional<BtfMember> find_member(const BtfType& type, std::string_view name) {
  const auto found = find(type, name);
  if (!found) return std::nullopt;
  return BtfMember{.offset = found->offset, .size = size_of(found->type)};
}

BtfCopy BtfCopy::plan(const BtfType& from, const BtfType& to) {
  BtfCopy out({});
  out.add(from, 0, to, 0);
  return out;
}

void BtfCopy::run(const std::byte* from, std::byte* to) const {
  for (const Move& one : moves_) std::memcpy(to + one.to, from + one.from, one.size);
}

void BtfCopy::add(const BtfType& from, std::size_t from_at, const BtfType& to, std::size_t to_at) {
  const Plain source = plain(from);
  const Plain target = plain(to);
  if (source.what == nullptr || target.what == nullptr) return;
  if (btf_is_struct(source.what) && btf_is_struct(target.what))
    return add_members(source.type, from_at, target.type, to_at);
  if (btf_is_array(source.what) && btf_is_array(target.what))
    return add_array(source.type, from_at, target.type, to_at);
  const std::size_t source_size = size_of(source.type);
  const std::size_t target_size = size_of(target.type);
  const bool scalars = is_scalar(source.what) && is_scalar(target.what);
  const bool unions = btf_is_union(source.what) && btf_is_union(target.what);
  const bool widened = is_counting_number(source) && is_counting_number(target);
  if ((scalars || unions) && (source_size == target_size || widened))
    move(from_at, to_at, std::min(source_size, target_size));
}

void BtfCopy::add_members(const BtfType& from, std::size_t from_at, const BtfType& to,
                          std::size_t to_at) {
  const btf_type* what = btf__type_by_id(to.info, to.id);
  const btf_member* members = btf_members(what);
  for (std::uint32_t i = 0; i < btf_vlen(what); ++i) {
    const std::uint32_t bits = btf_member_bit_offset(what, i);
    if (bits % 8 != 0 || btf_member_bitfield_size(what, i) != 0) continue;
    const BtfType member{.info = to.info, .id = members[i].type};
    const std::string_view name = btf__name_by_offset(to.info, members[i].name_off);
    if (name.empty()) {  // its members may be anywhere in `from`
      const Plain inner = plain(member);
      if (inner.what != nullptr && btf_is_composite(inner.what))
        add_members(from, from_at, inner.type, to_at + bits / 8);
      continue;
    }
    if (const auto found = find(from, name))
      add(found->type, from_at + found->offset, member, to_at + bits / 8);
  }
}

void BtfCopy::add_array(const BtfType& from, std::size_t from_at, const BtfType& to,
                        std::size_t to_at) {
  const struct btf_array* source = btf_array(btf__type_by_id(from.info, from.id));
  const struct btf_array* target = btf_array(btf__type_by_id(to.info, to.id));
  const BtfType source_element{.info = from.info, .id = source->type};
  const BtfType target_element{.info = to.info, .id = target->type};
  for (std::uint32_t i = 0; i < std::min(source->nelems, target->nelems); ++i) {
    add(source_element, from_at + i * size_of(source_element), target_element,
        to_at + i * size_of(target_element));
  }
}

// Neighbours become one; members of a union lie in the same bytes.
void BtfCopy::move(std::size_t from, std::size_t to, std::size_t size) {
  if (!moves_.empty()) {
    Move& last = moves_.back();
    const bool together = from - last.from == to - last.to;
    if (together && from >= last.from && from <= last.from + last.size) {
      last.size = std::max(last.size, from + size - last.from);
      return;
    }
  }
  moves_.push_back({.from = from, .to = to, .size = size});
}

}  // namespace weir
