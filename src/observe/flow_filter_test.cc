#include "observe/flow_filter.h"

#include <gtest/gtest.h>

#include "observe/flow_fixture.h"

namespace weir {
namespace {

using Parameters = std::vector<std::pair<std::string, std::string>>;

bool matches(const Parameters& parameters, const Flow& flow) {
  FlowFilter filter;
  for (const auto& [name, value] : parameters) {
    const auto added = filter.add(name, value);
    EXPECT_TRUE(added) << name << '=' << value;
  }
  return filter.matches(flow);
}

TEST(FlowFilter, FieldsAreAndedAndValuesOfOneFieldOred) {
  const Flow forwarded = fixture::flow({});
  const struct {
    Parameters parameters;
    bool matches;
  } cases[] = {
      {{}, true},
      {{{"namespace", "shop"}}, true},
      {{{"namespace", "other"}}, false},
      {{{"namespace", "other"}, {"namespace", "shop"}}, true},
      {{{"pod", "shop/cart-7d9-x2x"}}, true},
      {{{"pod", "shop/payment"}}, true},
      {{{"pod", "cart"}}, true},
      {{{"pod", "other/cart"}}, false},
      {{{"address", "10.244.1.7"}}, true},
      {{{"address", "10.244.0.0/16"}}, true},
      {{{"address", "fd00::/8"}}, false},
      {{{"port", "8080"}}, true},
      {{{"port", "41234"}}, true},
      {{{"port", "80"}}, false},
      {{{"protocol", "tcp"}}, true},
      {{{"protocol", "17"}}, false},
      {{{"verdict", "forwarded"}, {"type", "new"}}, true},
      {{{"verdict", "dropped"}, {"type", "new"}}, false},
      {{{"reason", "SPOOFED"}}, false},
      {{{"type", "closed"}, {"type", "new"}, {"port", "8080"}}, true},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(matches(one.parameters, forwarded), one.matches)
        << testing::PrintToString(one.parameters);
  }
}

TEST(FlowFilter, DropsMatchTheirReason) {
  const Flow drop = fixture::flow({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SPOOFED});
  EXPECT_TRUE(matches({{"reason", "spoofed"}, {"verdict", "dropped"}}, drop));
  EXPECT_FALSE(matches({{"reason", "NO_ROUTE"}}, drop));
  EXPECT_TRUE(matches({{"reason", "NO_ROUTE"}, {"reason", "SPOOFED"}}, drop));
}

// Both what was addressed and the pod behind it are found.
TEST(FlowFilter, ServicesAndTheirBackends) {
  Flow flow = fixture::service_flow({.destination = "10.96.3.4", .destination_port = 80});
  const struct {
    Parameters parameters;
    bool matches;
  } cases[] = {
      {{{"service", "shop/payment"}}, true},
      {{{"service", "payment"}}, true},
      {{{"service", "shop/cart"}}, false},
      {{{"service", "other/payment"}}, false},
      {{{"pod", "shop/payment"}}, true},
      {{{"address", "10.96.3.4"}}, true},
      {{{"address", "10.244.1.7"}}, true},
      {{{"port", "80"}}, true},
      {{{"port", "8080"}}, true},
      {{{"port", "81"}}, false},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(matches(one.parameters, flow), one.matches) << testing::PrintToString(one.parameters);
  }
  EXPECT_FALSE(matches({{"service", "shop/payment"}}, fixture::flow({})));
  Flow no_port = fixture::flow({.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_SERVICE_NO_PORT});
  no_port.destination.name = std::make_shared<const Name>(
      Name{.kind = NameKind::kService, .namespace_ = "shop", .service = "payment"});
  EXPECT_TRUE(matches({{"service", "shop/payment"}, {"namespace", "shop"}}, no_port));
}

TEST(FlowFilter, QuietLeavesOutBackgroundOnly) {
  using Spec = fixture::EventSpec;
  const struct {
    Spec spec;
    bool matches;
  } cases[] = {
      {{.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_LINK_MULTICAST}, false},
      {{.type = WEIR_EVENT_DROP, .reason = WEIR_DROP_NO_ROUTE}, true},
      {{.type = WEIR_EVENT_ENDED, .flags = WEIR_EVENT_SEEN_CLOSED}, false},
      {{.type = WEIR_EVENT_ENDED}, true},
      {{.type = WEIR_EVENT_CLOSED}, true},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(matches({{"quiet", "1"}}, fixture::flow(one.spec)), one.matches);
    EXPECT_TRUE(matches({{"quiet", "0"}}, fixture::flow(one.spec)));
  }
}

TEST(FlowFilter, RefusesValuesByTheNameOfTheParameter) {
  const Parameters wrong = {
      {"namespace", ""}, {"pod", ""},           {"pod", "/x"},      {"pod", "a/b/c"},
      {"pod", "a/"},     {"address", "10.0.0"}, {"address", "x/8"}, {"port", "0"},
      {"port", "65536"}, {"port", "http"},      {"protocol", "X"},  {"verdict", "maybe"},
      {"service", ""},   {"service", "a/"},     {"reason", "BAD"},  {"type", "open"},
      {"quiet", "yes"},
  };
  for (const auto& [name, value] : wrong) {
    FlowFilter filter;
    const auto added = filter.add(name, value);
    ASSERT_FALSE(added) << name << '=' << value;
    EXPECT_EQ(added.error().code(), Code::kInvalid);
    EXPECT_TRUE(added.error().text().starts_with(name + ": '" + value + "' is not "));
  }
  EXPECT_EQ(FlowFilter().add("colour", "red").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace weir
