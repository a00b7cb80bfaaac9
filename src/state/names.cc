// Takes the changes of Node, Pod and Endpoint rows; gives a table of claims on addresses, each with
// its winner worked out, so that find() is one hash lookup.
#include "state/names.h"

#include <algorithm>
#include <tuple>

namespace weir {
namespace {

std::vector<Address> addresses_of(const Pod* pod) {
  if (pod == nullptr || pod->host_network || pod->finished()) return {};
  return pod->addresses;
}

Name name_of(const Pod& pod) {
  return {NameKind::kPod, pod.namespace_, pod.name, pod.workload, pod.node};
}

Name name_of(const PodEndpoint& endpoint) {
  return {NameKind::kPod, endpoint.namespace_, endpoint.name, endpoint.workload, endpoint.node};
}

Name name_of(const Endpoint& endpoint, const Snapshot& snapshot) {
  const auto pod = snapshot.pods.find(endpoint.pod());
  if (pod != snapshot.pods.end()) return name_of(pod->second);
  return {NameKind::kPod, endpoint.pod_namespace, endpoint.pod_name, "", ""};
}

}  // namespace

std::string_view name_kind(NameKind kind) {
  switch (kind) {
    case NameKind::kPod:
      return "pod";
    case NameKind::kNode:
      return "node";
    case NameKind::kService:
      return "service";
    case NameKind::kOutside:
      return "outside";
    case NameKind::kUnknown:
      return "unknown";
  }
  return "?";
}

Names::Names(Store& store, std::function<Clock::time_point()> now)
    : store_(store), now_(std::move(now)) {
  const Snapshot& snapshot = store.snapshot();
  for (const auto& [key, node] : snapshot.nodes) change(RowChange<Node>{nullptr, &node});
  for (const auto& [key, pod] : snapshot.pods) change(RowChange<Pod>{nullptr, &pod});
  for (const auto& [key, endpoint] : snapshot.endpoints) {
    change(RowChange<Endpoint>{nullptr, &endpoint});
  }
  for (const auto& row : snapshot.pod_endpoints) {
    const PodEndpoint endpoint = row.unpack();
    change(RowChange<PodEndpoint>{nullptr, &endpoint, &row});
  }
  for (const auto& row : snapshot.services) {
    const Service service = row.unpack();
    change(RowChange<Service>{nullptr, &service, &row});
  }
  store.listen([this](const StoreChange& row) {
    forget_expired();
    std::visit([this](const auto& typed) { change(typed); }, row);
  });
}

const Name& Names::find(const Address& address, Clock::time_point now) const {
  const auto it = owners_.find(address);
  if (it != owners_.end() && !it->second.claims.empty()) return it->second.name;
  if (const Elsewhere* found = find_elsewhere(address)) return name_elsewhere(address, *found);
  if (it != owners_.end() && now - it->second.gone <= kMemory) return it->second.name;
  const Name* range = find_range(address);
  return range != nullptr ? *range : outside_;
}

std::optional<ServiceName> Names::find_service(const Address& address, std::uint16_t port,
                                               Protocol protocol) const {
  auto own = services_.find(address, port, protocol);
  if (own || find(address).kind != NameKind::kNode) return own;
  return services_.find_node_port(port, protocol);
}

bool Names::has_owner(const Address& address) const {
  const auto it = owners_.find(address);
  return (it != owners_.end() && !it->second.claims.empty()) || elsewhere_.contains(address);
}

// --- pods of other nodes ------------------------------------------------------------------------

const Names::Elsewhere* Names::find_elsewhere(const Address& address) const {
  const auto [first, last] = elsewhere_.equal_range(address);
  const auto rank = [](const auto& one) {
    return std::tuple(!one.second.leaving, one.second.order);
  };
  const auto best = std::max_element(
      first, last, [&rank](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return best == last ? nullptr : &best->second;
}

const Name& Names::name_elsewhere(const Address& address, const Elsewhere& found) const {
  const auto known = named_.find(address);
  if (known != named_.end()) return known->second;
  return named_.emplace(address, name_of(found.row->unpack())).first->second;
}

void Names::change(const RowChange<PodEndpoint>& row) {
  const PodEndpoint none;
  const PodEndpoint& before = row.before != nullptr ? *row.before : none;
  const PodEndpoint& after = row.after != nullptr ? *row.after : none;
  for (const Address& address : after.addresses) {
    named_.erase(address);
    Elsewhere* known = find_row(address, row.row);
    if (known != nullptr) {
      known->leaving = after.leaving;
    } else {
      elsewhere_.emplace(address, Elsewhere{row.row, ++order_elsewhere_, after.leaving});
    }
  }
  for (const Address& address : before.addresses) {
    if (std::ranges::find(after.addresses, address) != after.addresses.end()) continue;
    named_.erase(address);
    const auto [first, last] = elsewhere_.equal_range(address);
    elsewhere_.erase(
        std::find_if(first, last, [&row](const auto& one) { return one.second.row == row.row; }));
    if (!elsewhere_.contains(address)) leaves(address, name_of(before));
  }
}

Names::Elsewhere* Names::find_row(const Address& address, const PackedRow<PodEndpoint>* row) {
  const auto [first, last] = elsewhere_.equal_range(address);
  const auto found =
      std::find_if(first, last, [row](const auto& one) { return one.second.row == row; });
  return found == last ? nullptr : &found->second;
}

// --- all others ---------------------------------------------------------------------------------

void Names::change(const RowChange<Node>& row) {
  const Node none;
  const Node& before = row.before != nullptr ? *row.before : none;
  const Node& after = row.after != nullptr ? *row.after : none;
  const std::string& node = row.after != nullptr ? after.name : before.name;
  for (const Cidr& cidr : before.pod_cidrs) remove_range(cidr, node);
  for (const Cidr& cidr : after.pod_cidrs) add_range(cidr, node);
  Claim claim{.source = Source::kNode, .key = {"", node}, .name = {}};
  claim.name = {NameKind::kNode, "", "", "", node};
  replace(before.addresses, after.addresses, claim);
}

void Names::change(const RowChange<Pod>& row) {
  const Pod& pod = row.after != nullptr ? *row.after : *row.before;
  const Claim claim{
      .source = Source::kPod, .key = pod.key(), .leaving = pod.terminating, .name = name_of(pod)};
  replace(addresses_of(row.before), addresses_of(row.after), claim);
  if (row.after == nullptr) return;  // its endpoint keeps the name until it goes too
  const auto it = endpoints_of_.find(pod.key());
  if (it == endpoints_of_.end()) return;
  for (const std::uint32_t handle : it->second) {
    const Endpoint& endpoint = store_.snapshot().endpoints.at(handle);
    claim_endpoint(&endpoint, &endpoint);
  }
}

void Names::change(const RowChange<Endpoint>& row) {
  if (row.before != nullptr) {
    const auto it = endpoints_of_.find(row.before->pod());
    it->second.erase(row.before->handle);
    if (it->second.empty()) endpoints_of_.erase(it);
  }
  if (row.after != nullptr) endpoints_of_[row.after->pod()].insert(row.after->handle);
  claim_endpoint(row.before, row.after);
}

void Names::claim_endpoint(const Endpoint* before, const Endpoint* after) {
  const Endpoint* endpoint = after != nullptr ? after : before;
  if (endpoint == nullptr) return;
  const Claim claim{.source = Source::kEndpoint,
                    .key = {},
                    .handle = endpoint->handle,
                    .name = name_of(*endpoint, store_.snapshot())};
  replace(before != nullptr ? before->addresses : std::vector<Address>(),
          after != nullptr ? after->addresses : std::vector<Address>(), claim);
}

void Names::replace(const std::vector<Address>& before, const std::vector<Address>& after,
                    const Claim& claim_of_all) {
  for (const Address& address : after) claim(address, claim_of_all);
  for (const Address& address : before) {
    if (std::ranges::find(after, address) == after.end()) release(address, claim_of_all);
  }
}

void Names::claim(const Address& address, Claim claim) {
  Owner& owner = owners_[address];
  const auto old = std::ranges::find_if(
      owner.claims, [&claim](const Claim& other) { return other.same_claimant(claim); });
  claim.order = old != owner.claims.end() ? old->order : ++order_;
  if (old != owner.claims.end()) {
    *old = std::move(claim);
  } else {
    owner.claims.push_back(std::move(claim));
  }
  const auto rank = [](const Claim& c) { return std::tuple(!c.leaving, c.source, c.order); };
  owner.name = std::ranges::max_element(owner.claims, {}, rank)->name;
}

void Names::release(const Address& address, const Claim& claim) {
  const auto it = owners_.find(address);
  if (it == owners_.end()) return;
  Owner& owner = it->second;
  const auto removed = std::erase_if(
      owner.claims, [&claim](const Claim& other) { return other.same_claimant(claim); });
  if (removed == 0) return;
  if (owner.claims.empty()) return leaves(address, std::move(owner.name));
  const auto rank = [](const Claim& c) { return std::tuple(!c.leaving, c.source, c.order); };
  owner.name = std::ranges::max_element(owner.claims, {}, rank)->name;
}

void Names::leaves(const Address& address, Name name) {
  Owner& owner = owners_[address];
  if (!owner.claims.empty()) return;
  owner.name = std::move(name);
  owner.gone = now_();
  left_.emplace_back(owner.gone, address);
}

void Names::forget_expired() {
  const auto now = now_();
  for (; !left_.empty() && now - left_.front().first > kMemory; left_.pop_front()) {
    const auto it = owners_.find(left_.front().second);
    if (it == owners_.end() || !it->second.claims.empty()) continue;
    if (it->second.gone == left_.front().first) owners_.erase(it);
  }
}

void Names::add_range(const Cidr& cidr, const std::string& node) {
  Range& range = ranges_[cidr.mapped_bits()][cidr.address()];
  range.nodes.insert(node);
  range.name = {NameKind::kUnknown, "", "", "", *range.nodes.begin()};
}

void Names::remove_range(const Cidr& cidr, const std::string& node) {
  auto& of_length = ranges_[cidr.mapped_bits()];
  Range& range = of_length[cidr.address()];
  range.nodes.erase(node);
  if (!range.nodes.empty()) {
    range.name.node = *range.nodes.begin();
    return;
  }
  of_length.erase(cidr.address());
  if (of_length.empty()) ranges_.erase(cidr.mapped_bits());
}

const Name* Names::find_range(const Address& address) const {
  const int family_bits = address.is_v4() ? 96 : 0;
  for (const auto& [mapped_bits, ranges] : ranges_) {
    if (mapped_bits < family_bits) break;
    const auto it = ranges.find(Cidr(address, mapped_bits - family_bits).address());
    if (it != ranges.end()) return &it->second.name;
  }
  return nullptr;
}

}  // namespace weir
