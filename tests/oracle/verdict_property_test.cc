// Whatever the cluster and whoever asks: the tables say what Kubernetes says.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <memory>

#include "compile/service_tracker.h"
#include "generate.h"
#include "holds.h"
#include "oracle.h"
#include "reader.h"

namespace weir::oracle {
namespace {

// Compiled and written as the agent does it, once, from a complete list.
class Loaded {
 public:
  explicit Loaded(const Cluster& cluster) : tracker_(filled(cluster), context(cluster)) {
    tables_->apply(tracker_.take());
    tables_->prune();
    RC_ASSERT(!tables_->waiting());
  }

  Answer read(const Cluster& cluster, const Question& question) {
    return read_tables(kernel_, *tables_, cluster, question);
  }
  std::vector<std::string> complaints(const Service& service) const {
    return tracker_.complaints(service.key());
  }

 private:
  Store& filled(const Cluster& cluster) {
    for (const Object& object : objects(cluster)) store_.upsert(object);
    return store_;
  }
  static ServiceContext context(const Cluster& cluster) {
    ServiceContext out;
    out.node = cluster.this_node;
    out.external_ips = cluster.external_ips;
    return out;
  }

  Store store_;
  ServiceTracker tracker_;
  FakeKernel kernel_{{.rows = 1024, .sets = 256, .backends = 1024, .rings = 1}};
  std::unique_ptr<ServiceTables> tables_ = kernel_.agent();
};

// A backend on this node needs no other source, whatever the policy.
Answer without_needless_masquerade(Answer answer) {
  answer.may_masquerade =
      answer.may_masquerade && std::ranges::any_of(answer.backends, [](const auto& backend) {
        return !backend.second.this_node;
      });
  return answer;
}

Answer check(Loaded& loaded, const Cluster& cluster, const Question& question) {
  const Answer wanted = without_needless_masquerade(ask(cluster, question));
  const Answer got = loaded.read(cluster, question);
  if (got != wanted) {
    RC_FAIL(question.to_string() + "\n  Kubernetes: " + wanted.to_string() +
            "\n  the tables: " + got.to_string());
  }
  return wanted;
}

TEST(ServiceOracle, TheTablesSayWhatKubernetesSays) {
  std::map<Verdict, int> seen;
  int handed_over = 0;
  EXPECT_TRUE(holds(1000, [&] {
    const auto cluster = *any_cluster();
    const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
    Loaded loaded(cluster);
    for (Question question : questions(cluster, seed)) {
      const Answer answer = check(loaded, cluster, question);
      ++seen[answer.verdict];
      if (!answer.direct_return) continue;
      question.handed_over = true;
      check(loaded, cluster, question);
      ++handed_over;
    }
  }));
  std::printf("handed over: %d\n", handed_over);
  EXPECT_GT(handed_over, 0);
  for (const auto& [verdict, times] : seen) {
    std::printf("%s: %d times\n", Answer{.verdict = verdict}.to_string().c_str(), times);
    EXPECT_GT(times, 20);
  }
  EXPECT_EQ(seen.size(), 7U) << "each verdict is given";
}

bool any_contains(const std::vector<std::string>& texts, const std::string& what) {
  return std::ranges::any_of(
      texts, [&what](const std::string& text) { return text.find(what) != std::string::npos; });
}

TEST(ServiceOracle, WhoIsNotServedWhereItIsExpectedIsTold) {
  int told = 0;
  EXPECT_TRUE(holds(1000, [&told] {
    const auto cluster = *any_cluster();
    const Loaded loaded(cluster);
    for (const auto& [key, service] : cluster.services) {
      const auto complaints = loaded.complaints(service);
      for (const std::string& text : complaints) {
        RC_ASSERT(text.starts_with("service " + key.to_string() + ": "));
      }
      for (const Question& place : expected_places(cluster, service)) {
        if (ask(cluster, place).owner == key) continue;
        ++told;
        if (!any_contains(complaints, place.destination.to_string() + " ")) {
          RC_FAIL("nothing is said of " + key.to_string() + " at " + place.to_string());
        }
      }
    }
  }));
  EXPECT_GT(told, 100);
}

}  // namespace
}  // namespace weir::oracle
