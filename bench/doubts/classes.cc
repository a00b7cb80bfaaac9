// Doubt 3: does label set -> class (design section 5) stay small on 1,000 policies x 1,000
// namespaces? A model of the compiler, on invented clusters: counts, bytes in the kernel, time to
// build from nothing. No kernel involved.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Label = uint32_t;  // key << 16 | value
constexpr unsigned kNamespace = 1, kTeam = 2, kEnv = 3, kApp = 4, kTier = 5, kTrack = 6;
constexpr Label label(unsigned key, unsigned value) { return key << 16 | value; }

// All terms must hold; a term holds if the subject has one of its labels (matchLabels, `In`).
using Selector = std::vector<std::vector<Label>>;
struct Rule {
  Selector peer;
  unsigned first_port, last_port;
};
struct Policy {
  Selector subject;
  std::vector<Rule> ingress;
};
struct Pod {
  std::vector<Label> labels;  // of the pod and of its namespace, in order of the keys
};
struct Cluster {
  std::vector<Pod> pods;
  std::vector<Policy> policies;
  std::vector<size_t> node_pods;
};

bool matches(const Selector& selector, const std::vector<Label>& labels) {
  for (const auto& term : selector) {
    bool found = false;
    for (Label wanted : term)
      for (Label have : labels) found |= wanted == have;
    if (!found) return false;
  }
  return true;
}

struct Shape {
  const char* name;
  unsigned namespaces, pods_per_namespace, node_pods;
  enum { kSameNamespace, kMixed, kTangled } policies;
};

Selector random_peer(const Shape& shape, unsigned ns, std::mt19937& random) {
  const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  if (shape.policies == Shape::kSameNamespace) return {{label(kNamespace, ns)}};
  if (shape.policies == Shape::kTangled) {  // overlapping `In` lists everywhere
    Selector s(2);
    for (int i = 0; i < 8; i++) s[0].push_back(label(kTeam, pick(50)));
    for (int i = 0; i < 8; i++) s[1].push_back(label(kApp, pick(40)));
    return s;
  }
  switch (pick(4)) {
    case 0:
      return {{label(kNamespace, ns)}};
    case 1:
      return {{label(kNamespace, ns)}, {label(kApp, pick(40))}};
    case 2:
      return {{label(kTeam, ns % 50)}, {label(kEnv, ns % 3)}};
    default:
      return {{label(kNamespace, pick(shape.namespaces))}, {label(kApp, pick(40))}};
  }
}

Policy random_policy(const Shape& shape, unsigned ns, std::mt19937& random) {
  Policy policy;
  policy.subject = {{label(kNamespace, ns)}};
  if (shape.policies != Shape::kSameNamespace && random() % 2)
    policy.subject.push_back({label(kApp, static_cast<unsigned>(random() % 40))});
  const unsigned rules = shape.policies == Shape::kSameNamespace ? 1 : 3;
  for (unsigned i = 0; i < rules; i++) {
    const unsigned port = random() % 3 ? 8080 + random() % 4 : 0;
    policy.ingress.push_back({random_peer(shape, ns, random), port, port ? port : 65535});
  }
  return policy;
}

Cluster make(const Shape& shape, unsigned policies) {
  std::mt19937 random(7);
  Cluster c;
  for (unsigned ns = 0; ns < shape.namespaces; ns++)
    for (unsigned p = 0; p < shape.pods_per_namespace; p++)
      c.pods.push_back({{label(kNamespace, ns), label(kTeam, ns % 50), label(kEnv, ns % 3),
                         label(kApp, static_cast<unsigned>(random() % 40)),
                         label(kTier, static_cast<unsigned>(random() % 3)),
                         label(kTrack, static_cast<unsigned>(random() % 2))}});
  for (unsigned p = 0; p < policies; p++)
    c.policies.push_back(random_policy(shape, p % shape.namespaces, random));
  for (unsigned i = 0; i < shape.node_pods; i++)
    c.node_pods.push_back(i * c.pods.size() / shape.node_pods);
  return c;
}

struct Built {
  size_t label_sets, selectors, rule_sets, classes, rule_entries, extents, extent_rows;
};

// Label sets are numbered by the values of the keys that any policy of the cluster uses.
struct LabelSets {
  std::vector<std::vector<Label>> sets;
  std::unordered_map<Label, std::vector<uint32_t>> having;  // label -> label sets
};

LabelSets label_sets(const Cluster& c) {
  std::set<unsigned> keys;
  for (const Policy& p : c.policies) {
    for (const auto& term : p.subject) keys.insert(term[0] >> 16);
    for (const Rule& r : p.ingress)
      for (const auto& term : r.peer) keys.insert(term[0] >> 16);
  }
  LabelSets out;
  std::map<std::vector<Label>, uint32_t> ids;
  for (const Pod& pod : c.pods) {
    std::vector<Label> used;
    for (Label l : pod.labels)
      if (keys.count(l >> 16)) used.push_back(l);
    if (!ids.emplace(used, ids.size()).second) continue;
    for (Label l : used) out.having[l].push_back(static_cast<uint32_t>(out.sets.size()));
    out.sets.push_back(std::move(used));
  }
  return out;
}

std::vector<uint32_t> select(const LabelSets& all, const Selector& selector) {
  size_t best = 0, best_cost = SIZE_MAX;  // walk the rarest term, check the others
  for (size_t t = 0; t < selector.size(); t++) {
    size_t cost = 0;
    for (Label l : selector[t])
      if (auto i = all.having.find(l); i != all.having.end()) cost += i->second.size();
    if (cost < best_cost) best = t, best_cost = cost;
  }
  std::set<Label> seen(selector[best].begin(), selector[best].end());
  std::vector<uint32_t> out;
  for (Label l : seen)
    if (auto i = all.having.find(l); i != all.having.end())
      for (uint32_t s : i->second)
        if (matches(selector, all.sets[s])) out.push_back(s);
  return out;
}

Built build(const Cluster& c) {
  const LabelSets all = label_sets(c);
  // rule sets of this node's pods: equal lists of policies share one
  std::map<std::vector<uint32_t>, uint32_t> rule_sets;
  std::unordered_map<Label, std::vector<uint32_t>> by_namespace;
  for (uint32_t p = 0; p < c.policies.size(); p++)
    by_namespace[c.policies[p].subject[0][0]].push_back(p);
  for (size_t i : c.node_pods) {
    std::vector<uint32_t> list;
    for (uint32_t p : by_namespace[c.pods[i].labels[0]])
      if (matches(c.policies[p].subject, c.pods[i].labels)) list.push_back(p);
    rule_sets.emplace(std::move(list), rule_sets.size());
  }
  // selectors in use; each label set's list of them; equal lists are one class
  std::map<Selector, uint32_t> selectors;
  for (const auto& [list, id] : rule_sets)
    for (uint32_t p : list)
      for (const Rule& r : c.policies[p].ingress) selectors.emplace(r.peer, selectors.size());
  std::vector<std::vector<uint32_t>> matched(all.sets.size());
  for (const auto& [selector, id] : selectors)
    for (uint32_t s : select(all, selector)) matched[s].push_back(id);
  std::map<std::vector<uint32_t>, uint32_t> classes;
  std::vector<std::vector<uint32_t>> classes_of(selectors.size());
  for (const auto& list : matched)
    if (auto [at, fresh] = classes.emplace(list, classes.size()); fresh)
      for (uint32_t s : list) classes_of[s].push_back(at->second);
  // (rule set, class) -> extent of sorted rows; equal extents are shared
  std::set<std::vector<uint64_t>> extents;
  size_t entries = 0, rows = 0;
  for (const auto& [list, id] : rule_sets) {
    std::map<uint32_t, std::vector<uint64_t>> of_class;
    for (uint32_t p : list)
      for (const Rule& r : c.policies[p].ingress)
        for (uint32_t k : classes_of[selectors[r.peer]])
          of_class[k].push_back(uint64_t{r.first_port} << 48 | uint64_t{r.last_port} << 32 | p);
    entries += of_class.size();
    for (auto& [k, extent] : of_class)
      if (extents.insert(extent).second) rows += extent.size();
  }
  return {all.sets.size(),
          selectors.size(),
          rule_sets.size(),
          classes.size(),
          entries,
          extents.size(),
          rows};
}

double ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

void report(const Shape& shape) {
  const Cluster c = make(shape, 1000);
  const auto start = std::chrono::steady_clock::now();
  const Built b = build(c);
  const double ms = ms_since(start);
  // kernel bytes: a hash element is 48 + key + value
  const size_t peers = c.pods.size() * (48 + 16 + 24), set_to_class = b.label_sets * 4;
  const size_t rules = b.rule_entries * (48 + 16 + 8), rows = b.extent_rows * 16;
  std::printf("%-44s %6zu %6zu %6zu %6zu %6zu %7zu %6zu %6zu %8.0f %7.1f %6.1f %7.0f\n", shape.name,
              c.pods.size(), b.label_sets, b.rule_sets, b.selectors, b.classes, b.rule_entries,
              b.extents, b.extent_rows, static_cast<double>(peers) / 1024,
              static_cast<double>(set_to_class) / 1024, static_cast<double>(rules + rows) / 1024,
              ms);
}

}  // namespace

int main() {
  std::printf("%-44s %6s %6s %6s %6s %6s %7s %6s %6s %8s %7s %6s %7s\n",
              "cluster of 1,000 policies", "pods", "lsets", "rsets", "sels", "class", "entries",
              "extent", "rows", "peer KiB", "cls KiB", "rl KiB", "ms");
  for (const Shape& shape : {
           Shape{"1 namespace, tangled, node of 110", 1, 10000, 110, Shape::kTangled},
           Shape{"1,000 namespaces, same-ns, node of 110", 1000, 10, 110, Shape::kSameNamespace},
           Shape{"1,000 namespaces, mixed, node of 110", 1000, 10, 110, Shape::kMixed},
           Shape{"1,000 namespaces, tangled, node of 110", 1000, 10, 110, Shape::kTangled},
           Shape{"1,000 namespaces, mixed, every policy here", 1000, 10, 10000, Shape::kMixed},
           Shape{"1,000 namespaces, tangled, every policy here", 1000, 10, 10000, Shape::kTangled},
           Shape{"1,000 ns x 100 pods, mixed, node of 110", 1000, 100, 110, Shape::kMixed},
           Shape{"1,000 ns x 100 pods, mixed, every policy", 1000, 100, 10000, Shape::kMixed},
       })
    report(shape);
}
