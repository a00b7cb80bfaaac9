#include "cli/test_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace weir::cli {
namespace {

constexpr std::uint32_t kSmall = 100;
constexpr std::uint32_t kStream = 200'000;
constexpr std::uint32_t kUdpHeader = 8;

const char* family_of(const std::string& address) { return is_six(address) ? "IPv6" : "IPv4"; }

// The payload of a datagram that fills a packet of the pods' MTU.
std::uint32_t full_datagram(const std::string& address, std::uint32_t mtu) {
  return mtu - (is_six(address) ? 40 : 20) - kUdpHeader;
}

class Planner {
 public:
  explicit Planner(const TestBed& bed) : bed_(bed) {
    for (const TestPod& pod : bed.pods) {
      for (const std::string& address : pod.addresses) families_.insert(is_six(address));
    }
  }

  std::vector<Question> plan() {
    for (const TestPod& from : bed_.pods) {
      ask_pods(from);
      ask_services(from);
      if (!from.on_host) ask_names(from);
    }
    std::ranges::stable_sort(
        out_, [](const Question& a, const Question& b) { return rank(a.check) < rank(b.check); });
    return std::move(out_);
  }

 private:
  static constexpr std::array kOrder = {"pod to pod, own node",
                                        "pod to pod, other node",
                                        "pod to pod, full packets",
                                        "pod to host",
                                        "host to pod",
                                        "pod to ClusterIP",
                                        "host to ClusterIP",
                                        "pod to NodePort",
                                        "host to NodePort",
                                        "pod to API server",
                                        "DNS"};
  static std::size_t rank(const std::string& check) {
    return static_cast<std::size_t>(std::ranges::find(kOrder, check) - kOrder.begin());
  }

  void add(std::size_t check, const TestPod& from, const std::string& to, Probe::Kind kind,
           const std::string& address, std::uint16_t port, std::uint32_t size,
           const std::string& want = "") {
    out_.push_back(
        {kOrder[check], family_of(address), from.name, to, {kind, address, port, size}, want});
  }
  void add_both(std::size_t check, const TestPod& from, const std::string& to,
                const std::string& address, std::uint16_t port, const std::string& want = "") {
    add(check, from, to, Probe::Kind::kTcp, address, port, kSmall, want);
    add(check, from, to, Probe::Kind::kUdp, address, port, kSmall, want);
  }

  void ask_pods(const TestPod& from) {
    for (const TestPod& to : bed_.pods) {
      const std::string where =
          fmt::format("{} {} on {}", to.on_host ? "host" : "pod", to.name, to.node);
      for (const std::string& address : to.addresses) {
        if (from.on_host && to.on_host) continue;  // the nodes' own network
        if (from.on_host) {
          add_both(4, from, where, address, bed_.pod_port, to.name);
        } else if (to.on_host) {
          add_both(3, from, where, address, bed_.host_port, to.name);
        } else {
          ask_pod(from, to, where, address);
        }
      }
    }
  }

  void ask_pod(const TestPod& from, const TestPod& to, const std::string& where,
               const std::string& address) {
    add_both(from.node == to.node ? 0 : 1, from, where, address, bed_.pod_port, to.name);
    if (from.name == to.name) return;
    add(2, from, where, Probe::Kind::kUdp, address, bed_.pod_port,
        full_datagram(address, bed_.pod_mtu), to.name);
    add(2, from, where, Probe::Kind::kTcp, address, bed_.pod_port, kStream, to.name);
  }

  void ask_services(const TestPod& from) {
    for (const std::string& address : bed_.cluster_ips) {
      // Several times, for several backends: the asking pod is one of them.
      for (std::size_t i = 0; i < 2 * bed_.nodes.size(); ++i) {
        add_both(from.on_host ? 6 : 5, from, "Service weir-test", address, bed_.service_port);
      }
    }
    for (const TestNode& node : bed_.nodes) {
      for (const std::string& address : node.addresses) {
        if (!families_.contains(is_six(address))) continue;
        const std::string to = "NodePort at " + node.name;
        const std::size_t check = from.on_host ? 8 : 7;
        if (bed_.tcp_node_port != 0) {
          add(check, from, to, Probe::Kind::kTcp, address, bed_.tcp_node_port, kSmall);
        }
        if (bed_.udp_node_port != 0) {
          add(check, from, to, Probe::Kind::kUdp, address, bed_.udp_node_port, kSmall);
        }
      }
    }
    if (from.on_host) return;
    for (const std::string& address : bed_.api_ips) {
      add(9, from, "Service kubernetes", Probe::Kind::kConnect, address, 443, 0);
    }
  }

  void ask_names(const TestPod& from) {
    for (const std::string& address : bed_.cluster_ips) {
      out_.push_back({kOrder[10],
                      family_of(address),
                      from.name,
                      bed_.service_name,
                      {Probe::Kind::kName, bed_.service_name,
                       static_cast<std::uint16_t>(is_six(address) ? 6 : 4), 0},
                      address});
    }
  }

  const TestBed& bed_;
  std::set<bool> families_;
  std::vector<Question> out_;
};

}  // namespace

std::vector<Question> plan(const TestBed& bed) { return Planner(bed).plan(); }

}  // namespace weir::cli
