#include "cli/test_diagnosis.h"

#include <gmock/gmock.h>

#include <functional>

namespace weir::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TestBed bed() {
  TestBed out;
  out.nodes = {{"n0", {"172.30.0.10"}}, {"n1", {"172.30.0.11"}}};
  out.pods = {{"pod-a", "n0", {"10.244.0.5"}, false},
              {"pod-b", "n1", {"10.244.1.5"}, false},
              {"host-a", "n0", {"172.30.0.10"}, true},
              {"host-b", "n1", {"172.30.0.11"}, true}};
  out.cluster_ips = {"10.98.0.7"};
  out.service_name = "weir-test.weir-test.svc.cluster.local";
  out.service_port = 80;
  out.pod_port = 8080;
  out.host_port = 28080;
  out.pod_mtu = 1450;
  out.tunnel = "vxlan 8472";
  return out;
}

using Fault = std::function<std::string(const Question&)>;

std::vector<Outcome> outcomes(const Fault& fault) {
  std::vector<Outcome> out;
  for (const Question& one : plan(bed())) out.push_back({one, fault(one), ""});
  return out;
}

bool leaves_node(const Question& one) {
  const bool from_a = one.from.ends_with("a");
  return one.to.ends_with(from_a ? "n1" : "n0");
}

TEST(Diagnosis, WhatAnswersIsNoFault) {
  EXPECT_THAT(diagnose(bed(), outcomes([](const Question&) { return ""; })), IsEmpty());
}

TEST(Diagnosis, ABlockedTunnelIsNamed) {
  const auto told = diagnose(bed(), outcomes([](const Question& one) {
                               const bool tunnelled =
                                   one.probe.target.starts_with("10.244.") && leaves_node(one);
                               return tunnelled ? "no answer" : "";
                             }));
  EXPECT_THAT(told, testing::Contains(AllOf(HasSubstr("from n0 to n1"), HasSubstr("vxlan 8472"),
                                            HasSubstr("the nodes' own addresses answer"))));
  EXPECT_THAT(told, testing::Contains(AllOf(HasSubstr("from n1 to n0"), HasSubstr("vxlan 8472"))));
}

TEST(Diagnosis, ASmallMtuIsNamed) {
  const auto told = diagnose(
      bed(), outcomes([](const Question& one) {
        return one.check == "pod to pod, full packets" && leaves_node(one) ? "no answer" : "";
      }));
  EXPECT_THAT(told, UnorderedElementsAre(
                        AllOf(HasSubstr("n0 to n1"), HasSubstr("1450"), HasSubstr("smaller MTU")),
                        AllOf(HasSubstr("n1 to n0"), HasSubstr("smaller MTU"))));
}

TEST(Diagnosis, ANameServiceThatIsAwayIsNamed) {
  const auto told =
      diagnose(bed(), outcomes([](const Question& one) {
                 return one.check == "DNS" ? "Temporary failure in name resolution" : "";
               }));
  EXPECT_THAT(told, testing::Each(HasSubstr("kube-dns")));
  EXPECT_EQ(told.size(), 2U);
}

TEST(Diagnosis, WhatWeirDroppedIsToldByItsReason) {
  auto some = outcomes([](const Question& one) {
    return one.check == "host to ClusterIP" && one.from == "host-a" ? "refused" : "";
  });
  for (Outcome& one : some) {
    if (!one.fault.empty()) one.dropped = "the Service has no ready backend";
  }
  EXPECT_THAT(diagnose(bed(), some),
              ElementsAre(AllOf(HasSubstr("host to ClusterIP, IPv4, from n0"), HasSubstr("refused"),
                                HasSubstr("Dropped by Weir: the Service has no ready backend"))));
}

}  // namespace
}  // namespace weir::cli
