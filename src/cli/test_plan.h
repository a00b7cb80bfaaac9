#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/probe.h"

// Which questions `weir test` asks. Pure: what is there in, questions out.
namespace weir::cli {

struct TestPod {
  std::string name;
  std::string node;
  std::vector<std::string> addresses;  // of both families
  bool on_host = false;                // in the node's own network
};

struct TestNode {
  std::string name;
  std::vector<std::string> addresses;
};

// What was made in the cluster to be asked.
struct TestBed {
  std::vector<TestNode> nodes;
  std::vector<TestPod> pods;  // on each node one, and one on the host
  std::vector<std::string> cluster_ips;
  std::vector<std::string> api_ips;  // of Service kubernetes
  std::string service_name;          // "weir-test.weir-test.svc.cluster.local"
  std::uint16_t service_port = 0;
  std::uint16_t pod_port = 0;
  std::uint16_t host_port = 0;
  std::uint16_t tcp_node_port = 0;  // 0: none
  std::uint16_t udp_node_port = 0;
  std::uint32_t pod_mtu = 1500;
  std::string tunnel;  // "vxlan 8472", "none"
};

struct Question {
  std::string check;   // "pod to pod, other node": a row of the table
  std::string family;  // "IPv4"
  std::string from;    // pod that asks
  std::string to;      // in words
  Probe probe;
  std::string want;  // who must answer; empty: anybody
};

std::vector<Question> plan(const TestBed& bed);

inline bool is_six(const std::string& address) { return address.find(':') != std::string::npos; }

}  // namespace weir::cli
