#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"
#include "state/service_places.h"
#include "state/store.h"

namespace weir {

enum class NameKind : std::uint8_t {
  kPod,
  kNode,
  kService,  // a Service's own address, or a node's port that is a Service's
  kOutside,  // in no node's pod range
  kUnknown,  // in a node's pod range, but nobody known has it
};

std::string_view name_kind(NameKind kind);  // "pod", "node", "service", ...

// Who is behind an address. Fields that do not apply are empty.
struct Name {
  NameKind kind = NameKind::kOutside;
  std::string namespace_ = {};
  std::string pod = {};
  std::string workload = {};
  std::string node = {};  // where the pod runs, the node itself, or whose pod range it is
  std::string service = {};

  friend bool operator==(const Name&, const Name&) = default;
};

// Address -> name, kept up to date by a Store's changes. A former owner is still named for kMemory
// after it left, unless the address has a live owner: that one always wins. A pod of another node
// costs little until its name is asked for.
// Used from the thread of the store.
class Names {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kMemory{60};

  // Takes in what the store has, and listens to it from now on; both live until the end.
  explicit Names(Store& store, std::function<Clock::time_point()> now = Clock::now);
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;

  // The reference is good until the store changes.
  const Name& find(const Address& address) const { return find(address, now_()); }
  const Name& find(const Address& address, Clock::time_point now) const;
  // Somebody has the address now: a pod, a node, a sandbox.
  bool has_owner(const Address& address) const;

  // The Service that a client addresses: one with this address for its own, or with this port on a
  // node's address. Without the port's name if the Service has no such port.
  std::optional<ServiceName> find_service(const Address& address, std::uint16_t port,
                                          Protocol protocol) const;

 private:
  // Who says it has the address; a later kind wins over an earlier one.
  enum class Source : std::uint8_t { kPod, kNode, kEndpoint };
  struct Claim {
    Source source = Source::kPod;
    ObjectKey key;             // of the pod or node
    std::uint32_t handle = 0;  // of the endpoint
    bool leaving = false;      // loses against all others
    Name name;
    std::uint64_t order = 0;  // among equals the newest wins

    bool same_claimant(const Claim& other) const {
      return source == other.source && key == other.key && handle == other.handle;
    }
  };
  struct Owner {
    std::vector<Claim> claims;  // empty: `name` left at `gone`
    Name name;                  // of the winner
    Clock::time_point gone;
  };
  // A row of the store's; of several with one address the newest that is not leaving is named.
  struct Elsewhere {
    const PackedRow<PodEndpoint>* row = nullptr;
    std::uint32_t order = 0;
    bool leaving = false;
  };
  struct Range {
    std::set<std::string> nodes;  // the first one is named
    Name name;
  };

  void change(const RowChange<Node>& row);
  void change(const RowChange<Pod>& row);
  void change(const RowChange<PodEndpoint>& row);
  void change(const RowChange<Endpoint>& row);
  void change(const RowChange<Namespace>&) {}
  void change(const RowChange<Service>& row) { services_.change(row); }
  void change(const RowChange<EndpointSlice>&) {}
  void replace(const std::vector<Address>& before, const std::vector<Address>& after,
               const Claim& claim);
  void claim(const Address& address, Claim claim);
  void release(const Address& address, const Claim& claim);
  void claim_endpoint(const Endpoint* before, const Endpoint* after);
  void add_range(const Cidr& cidr, const std::string& node);
  void remove_range(const Cidr& cidr, const std::string& node);
  const Name* find_range(const Address& address) const;
  const Elsewhere* find_elsewhere(const Address& address) const;
  const Name& name_elsewhere(const Address& address, const Elsewhere& found) const;
  Elsewhere* find_row(const Address& address, const PackedRow<PodEndpoint>* row);
  void leaves(const Address& address, Name name);
  void forget_expired();

  const Store& store_;
  std::function<Clock::time_point()> now_;
  std::uint64_t order_ = 0;
  std::uint32_t order_elsewhere_ = 0;
  std::unordered_map<Address, Owner> owners_;
  std::unordered_multimap<Address, Elsewhere> elsewhere_;   // pods of other nodes: many
  mutable std::unordered_map<Address, Name> named_;         // of elsewhere_, those asked for
  std::deque<std::pair<Clock::time_point, Address>> left_;  // oldest first
  std::map<int, std::unordered_map<Address, Range>, std::greater<>> ranges_;  // by mapped_bits
  std::map<ObjectKey, std::set<std::uint32_t>> endpoints_of_;
  ServicePlaces services_;
  Name outside_;
};

}  // namespace weir
