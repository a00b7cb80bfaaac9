// Names against a naive model: random histories of few pods, sandboxes and addresses.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "state/names.h"

namespace weir {
namespace {

constexpr unsigned kAddresses = 4;
constexpr unsigned kOwners = 4;

Address address_of(unsigned number) { return Address::parse("10.0.0.0")->plus(number); }
std::string pod_name(unsigned number) { return std::string("p").append(std::to_string(number)); }

// The pods that have an address now, by the rows as they are.
std::set<std::string> owners_now(const Snapshot& snapshot, const Address& address) {
  const auto has = [&address](const std::vector<Address>& addresses) {
    return std::ranges::find(addresses, address) != addresses.end();
  };
  std::set<std::string> out;
  for (const auto& [key, pod] : snapshot.pods) {
    if (!pod.finished() && !pod.host_network && has(pod.addresses)) out.insert(pod.name);
  }
  for (const auto& [handle, endpoint] : snapshot.endpoints) {
    if (has(endpoint.addresses)) out.insert(endpoint.pod_name);
  }
  return out;
}

std::vector<Address> some_addresses() {
  std::vector<Address> out;
  for (unsigned i = 0; i < kAddresses; ++i) {
    if (*rc::gen::inRange(0, 3) == 0) out.push_back(address_of(i));
  }
  return out;
}

void random_step(Store& store) {
  const unsigned number = *rc::gen::inRange(0U, kOwners);
  Endpoint endpoint;
  endpoint.handle = number + 1;
  endpoint.pod_namespace = "shop";
  endpoint.pod_name = pod_name(*rc::gen::inRange(0U, kOwners));
  endpoint.addresses = some_addresses();
  Pod pod;
  pod.namespace_ = "shop";
  pod.name = pod_name(number);
  pod.addresses = some_addresses();
  pod.terminating = *rc::gen::arbitrary<bool>();
  pod.host_network = *rc::gen::inRange(0, 8) == 0;
  pod.phase = *rc::gen::element(PodPhase::kPending, PodPhase::kRunning, PodPhase::kSucceeded);
  switch (*rc::gen::inRange(0, 5)) {
    case 0:
      store.erase(Kind::kPod, pod.key());
      break;
    case 1:
      store.erase_endpoint(endpoint.handle);
      break;
    case 2:
      store.upsert(endpoint);
      break;
    default:
      store.upsert(Object(pod));
  }
}

RC_GTEST_PROP(NamesProperty, ALiveOwnerIsNamedAndAFormerOneOnlyForAMinute, ()) {
  Names::Clock::time_point now{std::chrono::hours(1)};
  Store store;
  const Names names(store, [&now] { return now; });
  std::map<Address, std::pair<std::string, Names::Clock::time_point>> last_seen;
  for (int step = *rc::gen::inRange(1, 40); step > 0; --step) {
    random_step(store);
    now += std::chrono::seconds(*rc::gen::inRange(0, 40));
    for (unsigned i = 0; i < kAddresses; ++i) {
      const Address address = address_of(i);
      const Name& name = names.find(address);
      const auto owners = owners_now(store.snapshot(), address);
      if (!owners.empty()) {
        RC_ASSERT(owners.contains(name.pod));
        last_seen[address] = {name.pod, now};
      } else if (name.kind == NameKind::kPod) {
        // Nobody has it: whoever is named had it, and not too long ago.
        RC_ASSERT(last_seen.contains(address));
        RC_ASSERT(now - last_seen.at(address).second <= Names::kMemory + std::chrono::seconds(40));
      }
    }
  }
}

RC_GTEST_PROP(NamesProperty, WhoComesLateNamesTheSameKinds, ()) {
  Store store;
  const Names::Clock::time_point now{std::chrono::hours(1)};
  const Names early(store, [&now] { return now; });
  for (int step = *rc::gen::inRange(1, 20); step > 0; --step) random_step(store);
  const Names late(store, [&now] { return now; });
  for (unsigned i = 0; i < kAddresses; ++i) {
    const auto owners = owners_now(store.snapshot(), address_of(i));
    if (owners.empty()) continue;
    RC_ASSERT(owners.contains(late.find(address_of(i)).pod));
    RC_ASSERT(owners.size() > 1 || late.find(address_of(i)) == early.find(address_of(i)));
  }
}

}  // namespace
}  // namespace weir
