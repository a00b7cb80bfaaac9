// The programs themselves, on tables that the agent's code has written, against the oracle.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <memory>

#include "compile/service_tracker.h"
#include "generate.h"
#include "harness/bed.h"
#include "holds.h"
#include "oracle.h"

namespace weir::oracle {
namespace {

constexpr std::uint32_t kLoopback = 1;

// A node whose Services are those of one cluster after the other.
class TestNode {
 public:
  void load(const Cluster& cluster) {
    if (source_port_ > 55000) start_anew();
    Store store;
    for (const Object& object : objects(cluster)) store.upsert(object);
    ServiceContext context;
    context.node = cluster.this_node;
    context.external_ips = cluster.external_ips;
    ServiceTracker tracker(store, context);
    ServiceChanges now = tracker.take();
    std::erase_if(now, [](const auto& entry) { return entry.second.frontends.empty(); });
    ServiceChanges changes = now;
    for (const auto& [key, entries] : held_) changes.try_emplace(key);
    RC_ASSERT(bed_->plane().apply_services(changes).refused.empty());
    held_ = std::move(now);
  }

  Outcome send(const Question& q) {
    ++source_port_;
    switch (q.protocol) {
      case Protocol::kTcp:
        return send(q, tcp(source_port_, q.port, SYN));
      case Protocol::kUdp:
        return send(q, udp(source_port_, q.port));
      case Protocol::kSctp:
        return send(q, sctp(source_port_, q.port));
    }
    return {};
  }

  static bool is_own(const Address& address) { return address == cast_of(address.family()).node; }
  static bool is_pod_here(const Address& address) {
    return cast_of(address.family()).pods.contains(address);
  }

 private:
  static BedOptions options() {
    BedOptions out = small();
    out.settings.ct_max = 1 << 17;
    return out;
  }

  Outcome send(const Question& q, const auto& l4) {
    if (is_own(q.source)) {
      const Packet packet = eth(kMacOther, kMacLink) / ip(q.source, q.destination) / l4;
      const std::uint32_t link = is_own(q.destination) ? kLoopback : kUplink;
      return bed_->run({.hook = WEIR_HOOK_TO_NET, .ifindex = link}, packet);
    }
    const Cast& cast = cast_of(q.source.family());
    if (cast.pods_r.contains(q.source)) {
      return bed_->from_tunnel(cast.node_r, eth() / ip(q.source, q.destination) / l4);
    }
    if (q.from == From::kHere) {
      return bed_->from_pod(kLinkA, eth() / ip(q.source, q.destination) / l4);
    }
    return bed_->from_nic(eth(kMacOther, kMacOther) / ip(q.source, q.destination) / l4);
  }

  // Every packet is to be a connection's first.
  void start_anew() {
    bed_.reset();
    bed_ = std::make_unique<Bed>(options());
    held_.clear();
    source_port_ = 20000;
  }

  std::unique_ptr<Bed> bed_ = std::make_unique<Bed>(options());
  ServiceChanges held_;  // in the tables
  std::uint16_t source_port_ = 20000;
};

Verdict verdict_of(const Outcome& outcome) {
  switch (outcome.reason().value_or(WEIR_DROP_NONE)) {
    case WEIR_DROP_SERVICE_UNKNOWN:
      return Verdict::kUnknown;
    case WEIR_DROP_SERVICE_NO_PORT:
      return Verdict::kNoPort;
    case WEIR_DROP_SERVICE_SOURCE:
      return Verdict::kSourceRefused;
    case WEIR_DROP_SERVICE_NO_BACKEND:
      return Verdict::kNoBackend;
    case WEIR_DROP_SERVICE_NO_LOCAL:
      return Verdict::kNoLocal;
    default:
      break;
  }
  const bool served = std::ranges::any_of(outcome.events, [](const weir_event& event) {
    return event.type == WEIR_EVENT_NEW && event.service != 0;
  });
  return served ? Verdict::kServed : Verdict::kNoService;
}

// One packet meets one backend.
void check_backend(const Outcome& outcome, const Answer& wanted, const Question& q) {
  const weir_event* opened = outcome.event(WEIR_EVENT_NEW);
  const Address backend =
      from_abi(opened->to_addr).is_zero() ? q.destination : from_abi(opened->to_addr);
  const auto found = wanted.backends.find({backend, ntohs(opened->to_port)});
  if (found == wanted.backends.end()) {
    RC_FAIL(q.to_string() + "\n  Kubernetes: " + wanted.to_string() + "\n  the program: " +
            backend.to_string() + ":" + std::to_string(ntohs(opened->to_port)));
  }
  if (q.from == From::kHere || from_abi(opened->nat_addr).is_zero()) return;
  RC_ASSERT(!TestNode::is_pod_here(backend));
  RC_ASSERT(wanted.may_masquerade || found->second.this_node);
}

// Where the bed is another network than the cluster's objects say, nothing is claimed.
bool can_be_asked(const Cluster& cluster, const Question& q) {
  const bool own = TestNode::is_own(q.destination);
  return cluster.is_this_nodes(q.destination) == own && (own || q.source != q.destination);
}

TEST(ServicePackets, TheProgramsDoWhatKubernetesSays) {
  TestNode node;
  std::map<Verdict, int> seen;
  EXPECT_TRUE(holds(2000, [&] {
    auto cluster = *any_cluster();
    const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
    // A packet that is handed over bears no backend.
    for (auto& [key, service] : cluster.services) service.dsr = false;
    node.load(cluster);
    for (const Question& q : questions(cluster, seed)) {
      if (!can_be_asked(cluster, q)) continue;
      const Answer wanted = ask(cluster, q);
      const Outcome outcome = node.send(q);
      const Verdict got = verdict_of(outcome);
      ++seen[got];
      if (got != wanted.verdict) {
        RC_FAIL(q.to_string() + "\n  Kubernetes: " + wanted.to_string() +
                "\n  the program: " + Answer{.verdict = got}.to_string());
      }
      if (got == Verdict::kServed) check_backend(outcome, wanted, q);
      const bool silent = got == Verdict::kUnknown || got == Verdict::kSourceRefused;
      if (silent) RC_ASSERT(outcome.verdict == kDropped);
      const bool answered = got == Verdict::kNoPort || got == Verdict::kNoBackend;
      if (answered && q.protocol == Protocol::kTcp) RC_ASSERT(outcome.verdict == kRedirect);
    }
  }));
  for (const auto& [verdict, times] : seen) {
    std::printf("%s: %d times\n", Answer{.verdict = verdict}.to_string().c_str(), times);
  }
  EXPECT_EQ(seen.size(), 7U) << "each verdict is given";
}

}  // namespace
}  // namespace weir::oracle
