#include "base/address.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Address, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"10.0.0.1", "255.255.255.255", "::", "fd00::1", "2001:db8::ff"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->to_string(), text);
  }
  for (const char* text : {"", "10.0.0", "10.0.0.256", "fd00::g", "10.0.0.1 "}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
}

TEST(Address, PlusCarriesAcrossBytes) {
  EXPECT_EQ(Address::parse("10.0.0.255")->plus(1).to_string(), "10.0.1.0");
  EXPECT_EQ(Address::parse("fd00::ffff:ffff")->plus(2).to_string(), "fd00::1:0:1");
}

TEST(Cidr, ContainsOnlyItsOwnFamilyAndPrefix) {
  const auto v4 = *Cidr::parse("10.244.1.7/24");
  EXPECT_EQ(v4.to_string(), "10.244.1.0/24");
  EXPECT_EQ(v4.mapped_bits(), 120);
  EXPECT_EQ(v4.size(), 256U);
  EXPECT_TRUE(v4.contains(*Address::parse("10.244.1.255")));
  EXPECT_FALSE(v4.contains(*Address::parse("10.244.2.0")));
  EXPECT_FALSE(v4.contains(*Address::parse("fd00::1")));
  EXPECT_TRUE(Cidr::parse("::/0")->contains(*Address::parse("fd00::1")));
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "x/8", "fd00::/129"}) {
    EXPECT_FALSE(Cidr::parse(text)) << text;
  }
}

}  // namespace
}  // namespace weir
