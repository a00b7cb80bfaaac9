#include "agent/big_tcp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Link link(std::uint32_t index, const char* name, std::uint32_t gso, std::uint32_t tso = 524'280) {
  Link made;
  made.index = index;
  made.name = name;
  made.gso_max_size = gso;
  made.tso_max_size = tso;
  return made;
}

Link above(Link upper, std::uint32_t lower) {
  upper.peer_index = lower;
  return upper;
}

Link port_of(std::uint32_t master, Link port) {
  port.master = master;
  return port;
}

Link veth(Link end, std::uint32_t peer) {
  end.kind = "veth";
  end.peer_index = peer;
  return end;
}

TEST(BigTcp, TheSmallestWayOutDecides) {
  constexpr std::uint32_t kMore = 262'144;
  const struct {
    const char* what;
    std::vector<Link> links;
    std::uint32_t size;
    const char* limit;  // begins so
  } cases[] = {
      {"one that takes it", {link(2, "eth0", kBigTcpSize)}, kBigTcpSize, ""},
      {"more is not used", {link(2, "eth0", kMore), link(3, "eth1", kMore)}, kBigTcpSize, ""},
      {"none raised", {link(2, "eth0", 65'536)}, 65'536, "eth0 takes packets of 65536 bytes"},
      {"one of two", {link(2, "eth0", kMore), link(3, "eth1", 65'536)}, 65'536, "eth1 "},
      {"something between", {link(2, "eth0", 131'072)}, 131'072, "eth0 takes packets of 131072"},
      {"less than ever", {link(2, "eth0", 32'768)}, 65'536, "eth0 takes packets of 32768"},
      {"another link is no way", {link(2, "eth0", kMore), link(9, "br0", 65'536)}, kBigTcpSize, ""},
      {"below a VLAN", {above(link(2, "v7", kMore), 9), link(9, "eth9", 65'536)}, 65'536, "eth9 "},
      {"a bond's port",
       {link(2, "bond0", kMore), port_of(2, link(9, "eth9", 65'536))},
       65'536,
       "eth9 "},
      {"below what is below",
       {above(link(2, "v7", kMore), 8), link(8, "bond0", kMore),
        port_of(8, link(9, "eth9", 65'536))},
       65'536,
       "eth9 "},
      {"a veth's other end is not below",
       {veth(link(2, "eth0", kMore), 9), veth(link(9, "eth9", 65'536), 2)},
       kBigTcpSize,
       ""},
      {"none at all", {link(9, "eth9", kMore)}, 65'536, "there is no link"},
  };
  for (const auto& one : cases) {
    const auto chosen = choose_big_tcp(one.links, {2, 3});
    EXPECT_EQ(chosen.size, one.size) << one.what;
    EXPECT_THAT(chosen.limit, StartsWith(one.limit)) << one.what;
    EXPECT_EQ(chosen.limit.empty(), *one.limit == '\0') << one.what;
  }
}

TEST(BigTcp, WhatCanBeRaisedIsSaid) {
  EXPECT_THAT(choose_big_tcp({link(2, "eth0", 65'536)}, {2}).limit,
              HasSubstr("its driver would take 524280"));
  EXPECT_THAT(choose_big_tcp({link(2, "weir_vxlan", 65'536, 65'536)}, {2}).limit,
              HasSubstr("its driver takes no more"));
}

}  // namespace
}  // namespace weir
