// Whatever the cluster and whoever asks: the tables say what Kubernetes says.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>

#include "compile/service_tracker.h"
#include "generate.h"
#include "holds.h"
#include "oracle.h"
#include "reader.h"

namespace weir::oracle {
namespace {

// Compiled and written as the agent does it, once, from a complete list.
void load(const Cluster& cluster, FakeKernel& kernel) {
  Store store;
  for (const Object& object : objects(cluster)) store.upsert(object);
  ServiceContext context;
  context.node = cluster.this_node;
  context.external_ips = cluster.external_ips;
  ServiceTracker tracker(store, context);
  const auto tables = kernel.agent();
  tables->apply(tracker.take());
  tables->prune();
  RC_ASSERT(!tables->waiting());
}

// A backend on this node needs no other source, whatever the policy.
Answer without_needless_masquerade(Answer answer) {
  answer.may_masquerade =
      answer.may_masquerade && std::ranges::any_of(answer.backends, [](const auto& backend) {
        return !backend.second.this_node;
      });
  return answer;
}

TEST(ServiceOracle, TheTablesSayWhatKubernetesSays) {
  std::map<Verdict, int> seen;
  EXPECT_TRUE(holds(1000, [&seen] {
    const auto cluster = *any_cluster();
    const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
    FakeKernel kernel({.rows = 1024, .sets = 256, .backends = 1024, .rings = 1});
    load(cluster, kernel);
    for (const Question& question : questions(cluster, seed)) {
      const Answer wanted = without_needless_masquerade(ask(cluster, question));
      const Answer got = read_tables(kernel, cluster, question);
      if (got != wanted) {
        RC_FAIL(question.to_string() + "\n  Kubernetes: " + wanted.to_string() +
                "\n  the tables: " + got.to_string());
      }
      ++seen[wanted.verdict];
    }
  }));
  for (const auto& [verdict, times] : seen) {
    std::printf("%s: %d times\n", Answer{.verdict = verdict}.to_string().c_str(), times);
    EXPECT_GT(times, 100);
  }
  EXPECT_EQ(seen.size(), 7U) << "each verdict is given";
}

}  // namespace
}  // namespace weir::oracle
