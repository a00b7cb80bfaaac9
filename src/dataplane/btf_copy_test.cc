#include "dataplane/btf_copy.h"

#include <gtest/gtest.h>

#include <functional>
#include <utility>
#include <vector>

namespace weir {
namespace {

using Bytes = std::vector<unsigned char>;

// Type information in the making; members lie one behind the other.
class Types {
 public:
  int number(std::size_t bytes, int encoding = 0) {
    return btf__add_int(info_.get(), "number", bytes, encoding);
  }
  int big_endian(std::size_t bytes) {
    return btf__add_typedef(info_.get(), bytes == 2 ? "__be16" : "__be32", number(bytes));
  }
  int array(int element, std::uint32_t count) {
    return btf__add_array(info_.get(), number(4), element, count);
  }
  int constant(int type) { return btf__add_const(info_.get(), type); }
  int structure(const std::vector<std::pair<const char*, int>>& members) {
    std::uint32_t size = 0;
    for (const auto& [name, type] : members) size += bytes_of(type);
    const int id = btf__add_struct(info_.get(), "", size);
    std::uint32_t at = 0;
    for (const auto& [name, type] : members) {
      btf__add_field(info_.get(), name, type, at * 8, 0);
      at += bytes_of(type);
    }
    return id;
  }
  int either(const std::vector<std::pair<const char*, int>>& members) {
    std::uint32_t size = 0;
    for (const auto& [name, type] : members) size = std::max(size, bytes_of(type));
    const int id = btf__add_union(info_.get(), "", size);
    for (const auto& [name, type] : members) btf__add_field(info_.get(), name, type, 0, 0);
    return id;
  }

  std::uint32_t bytes_of(int type) const {
    return static_cast<std::uint32_t>(
        btf__resolve_size(info_.get(), static_cast<std::uint32_t>(type)));
  }
  BtfType type(int id) const { return {.info = info_.get(), .id = static_cast<std::uint32_t>(id)}; }

 private:
  Btf info_{btf__new_empty()};
};

struct Case {
  const char* name;
  std::function<int(Types&)> from;
  std::function<int(Types&)> to;
  Bytes row;
  Bytes wanted;
};

// Members a, b, ... of one byte each.
std::function<int(Types&)> letters(const char* names) {
  return [names](Types& t) {
    static constexpr const char* kNames[] = {"a", "b", "c", "d"};
    std::vector<std::pair<const char*, int>> members;
    for (const char* one = names; *one != 0; ++one)
      members.emplace_back(kNames[*one - 'a'], t.number(1));
    return t.structure(members);
  };
}

std::function<int(Types&)> only(std::size_t bytes, int encoding = 0) {
  return [=](Types& t) { return t.structure({{"a", t.number(bytes, encoding)}}); };
}

const Case kCases[] = {
    {"the same", letters("abc"), letters("abc"), {1, 2, 3}, {1, 2, 3}},
    {"a member in the middle comes", letters("ac"), letters("abc"), {1, 3}, {1, 0, 3}},
    {"a member in the middle goes", letters("abc"), letters("ac"), {1, 2, 3}, {1, 3}},
    {"members change places", letters("abc"), letters("cab"), {1, 2, 3}, {3, 1, 2}},
    {"nothing in common", letters("ab"), letters("cd"), {1, 2}, {0, 0}},
    {"a number is widened", only(2), only(4), {1, 2}, {1, 2, 0, 0}},
    {"a number is narrowed", only(4), only(2), {1, 2, 3, 4}, {1, 2}},
    {"a signed one of another width is another",
     only(4, BTF_INT_SIGNED),
     only(8, BTF_INT_SIGNED),
     {255, 255, 255, 255},
     {0, 0, 0, 0, 0, 0, 0, 0}},
    {"a big-endian one of another width is another",
     [](Types& t) { return t.structure({{"a", t.big_endian(2)}}); },
     [](Types& t) { return t.structure({{"a", t.big_endian(4)}}); },
     {1, 2},
     {0, 0, 0, 0}},
    {"typedefs and qualifiers do not matter",
     [](Types& t) { return t.structure({{"a", t.constant(t.big_endian(2))}}); },
     [](Types& t) { return t.structure({{"a", t.big_endian(2)}}); },
     {1, 2},
     {1, 2}},
    {"a struct inside grows",
     [](Types& t) { return t.structure({{"a", letters("ab")(t)}, {"b", t.number(1)}}); },
     [](Types& t) { return t.structure({{"a", letters("abc")(t)}, {"b", t.number(1)}}); },
     {1, 2, 9},
     {1, 2, 0, 9}},
    {"a struct is no number",
     [](Types& t) { return t.structure({{"a", letters("ab")(t)}}); },
     [](Types& t) { return t.structure({{"a", t.number(2)}}); },
     {1, 2},
     {0, 0}},
    {"an array of structs, each by name",
     [](Types& t) { return t.structure({{"a", t.array(letters("ab")(t), 2)}}); },
     [](Types& t) { return t.structure({{"a", t.array(letters("bca")(t), 2)}}); },
     {1, 2, 3, 4},
     {2, 0, 1, 4, 0, 3}},
    {"a longer array",
     [](Types& t) { return t.array(t.number(2), 2); },
     [](Types& t) { return t.array(t.number(2), 3); },
     {1, 2, 3, 4},
     {1, 2, 3, 4, 0, 0}},
    {"a shorter array",
     [](Types& t) { return t.array(t.number(2), 2); },
     [](Types& t) { return t.array(t.number(2), 1); },
     {1, 2, 3, 4},
     {1, 2}},
    {"members of a nameless struct are the outer one's",
     [](Types& t) { return t.structure({{"b", t.number(1)}, {"", letters("ac")(t)}}); },
     letters("abc"),
     {2, 1, 3},
     {1, 2, 3}},
    {"and the other way",
     letters("abc"),
     [](Types& t) { return t.structure({{"b", t.number(1)}, {"", letters("ac")(t)}}); },
     {1, 2, 3},
     {2, 1, 3}},
    {"unions of one size as they are",
     [](Types& t) {
       return t.structure({{"a", t.either({{"a", t.number(2)}, {"b", t.number(4)}})}});
     },
     [](Types& t) {
       return t.structure({{"b", t.number(1)}, {"a", t.either({{"c", t.number(4)}})}});
     },
     {1, 2, 3, 4},
     {0, 1, 2, 3, 4}},
    {"a plain number",
     [](Types& t) { return t.number(8); },
     [](Types& t) { return t.number(8); },
     {1, 2, 3, 4, 5, 6, 7, 8},
     {1, 2, 3, 4, 5, 6, 7, 8}},
};

TEST(BtfCopy, MembersGoByTheirNames) {
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.name);
    Types from, to;
    const int from_id = one.from(from);
    const int to_id = one.to(to);
    ASSERT_EQ(from.bytes_of(from_id), one.row.size());
    ASSERT_EQ(to.bytes_of(to_id), one.wanted.size());
    Bytes found(one.wanted.size());
    BtfCopy::plan(from.type(from_id), to.type(to_id))
        .run(reinterpret_cast<const std::byte*>(one.row.data()),
             reinterpret_cast<std::byte*>(found.data()));
    EXPECT_EQ(found, one.wanted);
  }
}

TEST(BtfCopy, OnlyTheSameLayoutIsWhole) {
  const auto whole = [](const std::function<int(Types&)>& one,
                        const std::function<int(Types&)>& other) {
    Types from, to;
    const int from_id = one(from);
    const int to_id = other(to);
    return BtfCopy::plan(from.type(from_id), to.type(to_id)).is_whole(to.bytes_of(to_id));
  };
  const auto nested = [](Types& t) {
    const int choice = t.either({{"c", t.number(4)}, {"d", t.number(1)}});
    return t.structure({{"a", t.array(letters("ab")(t), 3)}, {"b", t.number(4)}, {"", choice}});
  };
  EXPECT_TRUE(whole(letters("abc"), letters("abc")));
  EXPECT_TRUE(whole(nested, nested));
  EXPECT_FALSE(whole(letters("abc"), letters("acb")));
  EXPECT_FALSE(whole(letters("abc"), letters("abd")));
}

TEST(BtfCopy, AMemberIsFoundByItsName) {
  Types types;
  const int inner = types.structure({{"c", types.number(2)}, {"d", types.number(8)}});
  const int outer = types.structure({{"a", types.number(1)}, {"", inner}});
  const auto found = find_member(types.type(outer), "d");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->offset, 3u);
  EXPECT_EQ(found->size, 8u);
  EXPECT_FALSE(find_member(types.type(outer), "e"));
  EXPECT_FALSE(find_member({}, "a"));
}

}  // namespace
}  // namespace weir
