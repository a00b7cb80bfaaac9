#include "agent/ranges.h"

#include <gmock/gmock.h>

namespace weir {
namespace {

using testing::HasSubstr;

std::vector<Cidr> cidrs(const std::vector<const char*>& texts) {
  std::vector<Cidr> out;
  for (const char* text : texts) out.push_back(*Cidr::parse(text));
  return out;
}

struct Case {
  std::vector<const char*> pods;
  std::vector<const char*> services;
  const char* node;
  const char* fault;  // part of the text; nullptr: good
};

TEST(Ranges, EveryAddressMeansOneThing) {
  const Case cases[] = {
      {{"10.244.0.0/24", "fd10:244::/64"}, {"10.96.0.0/12", "fd10:96::/112"}, "10.0.0.2", nullptr},
      {{"10.100.0.0/24"}, {"10.96.0.0/12"}, "10.0.0.2", "10.96.0.0/12 (service-cidr) overlap"},
      {{"10.0.0.0/8"}, {"10.96.0.0/12"}, "172.30.0.2", "10.0.0.0/8 (spec.podCIDRs)"},
      {{"10.244.0.0/24", "fd10::/48"}, {"fd10::/112"}, "10.0.0.2", "fd10::/48"},
      {{"10.244.0.0/24"}, {}, "10.244.0.7", "the node's address 10.244.0.7"},
      {{"fd10:244::/64"}, {}, "fd10:244::9", "fd10:244::9 is in its pod range"},
      {{"10.244.0.0/24"}, {}, "fd10:244::9", nullptr},
  };
  for (const Case& one : cases) {
    const auto got =
        check_ranges(cidrs(one.pods), cidrs(one.services), {*Address::parse(one.node)});
    EXPECT_EQ(one.fault == nullptr, bool(got)) << one.node;
    if (got || one.fault == nullptr) continue;
    EXPECT_THAT(got.error().text(), HasSubstr(one.fault));
  }
}

}  // namespace
}  // namespace weir
