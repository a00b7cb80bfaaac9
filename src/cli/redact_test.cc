#include "cli/redact.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace weir::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kPods = R"({"kind":"List","items":[
  {"kind":"Pod","metadata":{"name":"db","namespace":"shop",
    "managedFields":[{"manager":"geheim0"}],
    "annotations":{"kubectl.kubernetes.io/last-applied-configuration":"geheim1","kept":"yes"}},
   "spec":{"nodeName":"n0",
    "initContainers":[{"name":"i","command":["geheim2"]}],
    "containers":[{"name":"c","image":"db:1","args":["--password=geheim3"],
      "env":[{"name":"PASSWORD","value":"geheim4"},
             {"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}],
      "livenessProbe":{"exec":{"command":["geheim5"]}}}]}},
  {"kind":"DaemonSet","metadata":{"name":"x","namespace":"shop"},
   "spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"geheim6"}]}]}}}},
  {"kind":"Pod","metadata":{"name":"weir-agent-x","namespace":"weir-system"},
   "spec":{"containers":[{"name":"agent","args":["--config=/etc/weir"]}]}}]})";

TEST(Redact, NothingThatMayBeASecretStays) {
  const std::string text = redacted(kPods);
  EXPECT_THAT(text, Not(HasSubstr("geheim")));
  EXPECT_THAT(text, HasSubstr("PASSWORD"));
  EXPECT_THAT(text, HasSubstr("spec.nodeName"));
  EXPECT_THAT(text, HasSubstr("\"kept\": \"yes\""));
  EXPECT_THAT(text, HasSubstr("--config=/etc/weir"));
  EXPECT_EQ(nlohmann::json::parse(text)["items"].size(), 3U);
}

TEST(Redact, OneObjectIsRedactedAsAList) {
  const auto pod = nlohmann::json::parse(kPods)["items"][0].dump();
  EXPECT_THAT(redacted(pod), Not(HasSubstr("geheim")));
}

TEST(Redact, WhatIsNoJsonIsLeftOut) { EXPECT_EQ(redacted("token: geheim"), ""); }

}  // namespace
}  // namespace weir::cli
