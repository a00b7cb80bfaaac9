#include "cli/test_plan.h"

#include <gmock/gmock.h>

#include <map>

namespace weir::cli {
namespace {

using testing::Contains;
using testing::Each;
using testing::Field;
using testing::SizeIs;

TestBed bed() {
  TestBed out;
  out.nodes = {{"n0", {"172.30.0.10", "fd30::10"}}, {"n1", {"172.30.0.11", "fd30::11"}}};
  out.pods = {{"pod-a", "n0", {"10.244.0.5", "fd10::5"}, false},
              {"pod-b", "n1", {"10.244.1.5", "fd10:1::5"}, false},
              {"host-a", "n0", {"172.30.0.10", "fd30::10"}, true},
              {"host-b", "n1", {"172.30.0.11", "fd30::11"}, true}};
  out.cluster_ips = {"10.98.0.7", "fd98::7"};
  out.api_ips = {"10.98.0.1"};
  out.service_name = "weir-test.weir-test.svc.cluster.local";
  out.service_port = 80;
  out.pod_port = 8080;
  out.host_port = 28080;
  out.tcp_node_port = 30001;
  out.udp_node_port = 30002;
  out.pod_mtu = 1450;
  return out;
}

using Counts = std::map<std::pair<std::string, std::string>, int>;

Counts count(const std::vector<Question>& questions) {
  Counts out;
  for (const Question& one : questions) ++out[{one.check, one.family}];
  return out;
}

TEST(TestPlan, EachPathIsAskedInBothFamilies) {
  const auto counts = count(plan(bed()));
  for (const char* check :
       {"pod to pod, own node", "pod to pod, other node", "pod to pod, full packets", "pod to host",
        "host to pod", "pod to ClusterIP", "host to ClusterIP", "pod to NodePort",
        "host to NodePort", "DNS"}) {
    EXPECT_GT(counts.at({check, "IPv4"}), 0) << check;
    EXPECT_EQ(counts.at({check, "IPv4"}), counts.at({check, "IPv6"})) << check;
  }
  EXPECT_EQ(counts.at({"pod to API server", "IPv4"}), 2);
  EXPECT_EQ(counts.at({"pod to pod, other node", "IPv4"}), 4);  // two pods, TCP and UDP
}

TEST(TestPlan, AFullDatagramFillsThePodsMtu) {
  std::vector<std::uint32_t> sizes;
  for (const Question& one : plan(bed())) {
    if (one.check == "pod to pod, full packets" && one.probe.kind == Probe::Kind::kUdp) {
      sizes.push_back(one.probe.size);
    }
  }
  EXPECT_THAT(sizes, Contains(1450U - 28));
  EXPECT_THAT(sizes, Contains(1450U - 48));
  EXPECT_THAT(sizes, SizeIs(4));
}

TEST(TestPlan, OfOneFamilyOnlyThatIsAsked) {
  TestBed one = bed();
  for (auto& pod : one.pods) pod.addresses.resize(1);
  one.cluster_ips.resize(1);
  EXPECT_THAT(plan(one), Each(Field(&Question::family, "IPv4")));
}

TEST(Probe, IsWrittenAndReadAlike) {
  for (const Question& one : plan(bed())) {
    const auto read = parse_probe(to_string(one.probe));
    ASSERT_TRUE(read) << to_string(one.probe);
    EXPECT_EQ(to_string(*read), to_string(one.probe));
  }
  for (const char* bad : {"", "tcp", "tcp 1.2.3.4", "icmp 1.2.3.4 1 1", "tcp 1.2.3.4 70000 1",
                          "udp 1.2.3.4 1 99999999"}) {
    EXPECT_FALSE(parse_probe(bad)) << bad;
  }
}

TEST(Probe, WhoDoesNotListenRefuses) {
  const auto answered = ask({Probe::Kind::kTcp, "127.0.0.1", 1, 100}, std::chrono::seconds(3));
  ASSERT_FALSE(answered);
  EXPECT_EQ(answered.error().text(), "refused");
}

}  // namespace
}  // namespace weir::cli
