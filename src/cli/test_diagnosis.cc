#include "cli/test_diagnosis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace weir::cli {
namespace {

// Outcomes of one way: all questions of a check, in a family, from one node to another.
struct Way {
  int asked = 0;
  int failed = 0;
  std::set<std::string> faults;
  std::set<std::string> dropped;
  bool all() const { return asked > 0 && failed == asked; }
};
using Key = std::tuple<std::string, std::string, std::string, std::string>;

class Diagnosis {
 public:
  Diagnosis(const TestBed& bed, const std::vector<Outcome>& outcomes) : bed_(bed) {
    for (const TestPod& pod : bed.pods) {
      node_of_pod_[pod.name] = pod.node;
      for (const std::string& address : pod.addresses) node_of_address_[address] = pod.node;
    }
    for (const TestNode& node : bed.nodes) {
      for (const std::string& address : node.addresses) node_of_address_[address] = node.name;
    }
    for (const Outcome& one : outcomes) add(one);
  }

  std::vector<std::string> tell() {
    for (const auto& [key, way] : ways_) {
      if (way.failed > 0) tell(key, way);
    }
    return std::move(out_);
  }

 private:
  void add(const Outcome& one) {
    const Question& asked = one.question;
    const auto to = node_of_address_.find(asked.probe.target);
    Way& way = ways_[{asked.check, asked.family, node_of_pod_[asked.from],
                      to == node_of_address_.end() ? asked.to : to->second}];
    ++way.asked;
    if (one.fault.empty()) return;
    ++way.failed;
    way.faults.insert(one.fault);
    if (!one.dropped.empty()) way.dropped.insert(one.dropped);
  }

  const Way* way(const char* check, const Key& like) const {
    const auto found = ways_.find({check, std::get<1>(like), std::get<2>(like), std::get<3>(like)});
    return found == ways_.end() ? nullptr : &found->second;
  }
  bool fails(const char* check, const Key& like) const {
    const Way* one = way(check, like);
    return one != nullptr && one->all();
  }
  bool answers(const char* check, const Key& like) const {
    const Way* one = way(check, like);
    return one != nullptr && one->failed == 0;
  }

  void tell(const Key& key, const Way& way) {
    const auto& [check, family, from, to] = key;
    std::string text =
        fmt::format("{}, {}, from {} to {}: {} of {} not answered ({})", check, family, from, to,
                    way.failed, way.asked, fmt::join(way.faults, "; "));
    if (!way.dropped.empty()) {
      text += fmt::format(". Dropped by Weir: {}", fmt::join(way.dropped, "; "));
    } else if (const std::string hint = hint_for(key, way); !hint.empty()) {
      text += ". " + hint;
    }
    out_.push_back(std::move(text));
  }

  std::string hint_for(const Key& key, const Way& way) const {
    const auto& [check, family, from, to] = key;
    if (check == "pod to pod, other node" && way.all()) return between_nodes(key);
    if (check == "pod to pod, full packets") {
      if (fails("pod to pod, other node", key)) return "As small packets: see there";
      return fmt::format(
          "Small packets pass, those of {} bytes do not: something between the nodes "
          "has a smaller MTU than their devices",
          bed_.pod_mtu);
    }
    if (check == "host to pod" && from != to && fails("pod to pod, other node", key)) {
      return "As from pods: see there";
    }
    if (check == "DNS") return name_service(key, way);
    if (check == "pod to API server") {
      return "Does Service kubernetes have an endpoint that the node reaches?";
    }
    return "";
  }

  std::string between_nodes(const Key& key) const {
    const std::string& from = std::get<2>(key);
    const std::string& to = std::get<3>(key);
    const bool hosts_answer = answers("pod to host", key);
    const std::string way = bed_.tunnel.empty() || bed_.tunnel == "none"
                                ? "the network routes the pods' addresses"
                                : fmt::format("the tunnel's packets pass (UDP, {})", bed_.tunnel);
    return fmt::format(
        "Pods of {} and {} do not reach each other, the nodes' own addresses {}: look "
        "whether {} between the two, and for a firewall",
        from, to, hosts_answer ? "answer" : "do not answer either", way);
  }

  static std::string name_service(const Key&, const Way& way) {
    if (way.faults.contains("Name or service not known") ||
        way.faults.contains("No address associated with hostname")) {
      return "The cluster's DNS answers, and does not know the name: is --cluster-domain right?";
    }
    return "The cluster's DNS does not answer: 'kubectl --namespace kube-system get endpointslices "
           "--selector kubernetes.io/service-name=kube-dns' shows whether it has pods that are "
           "ready";
  }

  const TestBed& bed_;
  std::map<std::string, std::string> node_of_pod_;
  std::map<std::string, std::string> node_of_address_;
  std::map<Key, Way> ways_;
  std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> diagnose(const TestBed& bed, const std::vector<Outcome>& outcomes) {
  return Diagnosis(bed, outcomes).tell();
}

}  // namespace weir::cli
