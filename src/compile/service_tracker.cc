// Changes of the store -> marks on Services; marks -> entries. Nothing is kept that the store has.
#include "compile/service_tracker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "compile/service_endpoints.h"
#include "compile/service_frontends.h"

namespace weir {
namespace {

std::uint64_t hash_of(std::string_view namespace_, std::string_view name) {
  const std::uint64_t first = std::hash<std::string_view>()(namespace_);
  return std::hash<std::string_view>()(name) ^ (first * 0x9e3779b97f4a7c15ULL);
}

std::uint64_t service_hash(const EndpointSlice& slice) {
  return hash_of(slice.namespace_, slice.service);
}

bool is_health_checked(const Service& service) {
  return service.type == ServiceType::kLoadBalancer && service.health_check_port != 0 &&
         service.external_policy == TrafficPolicy::kLocal && is_served(service);
}

template <typename T>
bool holds(const std::vector<T>& list, const T& value) {
  return std::ranges::find(list, value) != list.end();
}

void keep(std::map<ObjectKey, std::vector<std::string>>& complaints, const ObjectKey& key,
          std::vector<std::string> now) {
  if (now.empty()) {
    complaints.erase(key);
  } else {
    complaints[key] = std::move(now);
  }
}

}  // namespace

ServiceTracker::ServiceTracker(Store& store, ServiceContext context)
    : store_(store), context_(std::move(context)), claims_(context_.external_ips, ranges_) {
  context_.zone.clear();
  context_.weight = nullptr;
  const Snapshot& now = store.snapshot();
  for (const auto& [key, node] : now.nodes) change(RowChange<Node>{nullptr, &node});
  for (const auto& [key, pod] : now.pods) change(RowChange<Pod>{nullptr, &pod});
  for (const auto& row : now.pod_endpoints) {
    const PodEndpoint endpoint = row.unpack();
    change(RowChange<PodEndpoint>{nullptr, &endpoint, &row});
  }
  for (const auto& [handle, endpoint] : now.endpoints) {
    change(RowChange<Endpoint>{nullptr, &endpoint});
  }
  for (const auto& row : now.slices) {
    const EndpointSlice slice = row.unpack();
    change(RowChange<EndpointSlice>{nullptr, &slice, &row});
  }
  for (const auto& row : now.services) {
    const Service service = row.unpack();
    change(RowChange<Service>{nullptr, &service, &row});
  }
  store.listen([this](const StoreChange& changed) {
    std::visit([this](const auto& row) { change(row); }, changed);
  });
}

void ServiceTracker::change(const RowChange<Node>& row) {
  const Node* any = row.after != nullptr ? row.after : row.before;
  if (any->name == context_.node) {
    const std::string zone = row.after != nullptr ? row.after->zone : std::string();
    if (zone != context_.zone) mark_all();
    context_.zone = zone;
  }
  if (row.before != nullptr && row.after != nullptr &&
      row.before->addresses == row.after->addresses &&
      row.before->pod_cidrs == row.after->pod_cidrs) {
    return;
  }
  for (const Node* node : {row.before, row.after}) {
    if (node != nullptr) changed_ranges_.add(*node);
  }
  if (row.before != nullptr) ranges_.remove(*row.before);
  if (row.after != nullptr) ranges_.add(*row.after);
}

void ServiceTracker::change(const RowChange<Pod>& row) {
  change_weight(row);
  change_sandboxes_of(row);
  const Pod* before = has_host_ports_here(row.before) ? row.before : nullptr;
  const Pod* after = has_host_ports_here(row.after) ? row.after : nullptr;
  if (before == nullptr && after == nullptr) return;
  replace_host_ports(before, after, row.after != nullptr ? row.after : row.before);
}

void ServiceTracker::change(const RowChange<EndpointSlice>& row) {
  if (row.before != nullptr) {
    slices_.erase(service_hash(*row.before), row.row);
    mark(row.before->service_key());
  }
  if (row.after != nullptr) {
    slices_.insert(service_hash(*row.after), row.row);
    mark(row.after->service_key());
  }
}

void ServiceTracker::change(const RowChange<Service>& row) {
  dirty_.erase(row.row);
  health_checked_.erase(row.row);
  if (row.before != nullptr) {
    claims_.remove(*row.before, row.row);
    mark(claims_.rivals(*row.before));
    mark_gone(port_keys(*row.before),
              row.after != nullptr ? port_keys(*row.after) : std::vector<ServicePortKey>());
  }
  if (row.after == nullptr) {
    complaints_.erase(row.before->key());
    return;
  }
  mark(claims_.rivals(*row.after));
  claims_.add(*row.after, row.row);
  dirty_.insert(row.row);
  if (is_health_checked(*row.after)) health_checked_.insert(row.row);
  if (gone_.empty()) return;
  for (const ServicePortKey& key : port_keys(*row.after)) gone_.erase(key);
}

void ServiceTracker::change(const RowChange<Endpoint>& row) {
  if (row.before != nullptr) {
    const auto it = sandboxes_.find(row.before->handle);
    if (it != sandboxes_.end()) {
      if (it->second.counts) replace_host_ports(&it->second.pod, nullptr, &it->second.pod);
      sandboxes_.erase(it);
    }
  }
  if (row.after == nullptr || row.after->ports.empty()) return;
  const Endpoint& endpoint = *row.after;
  Sandbox& made = sandboxes_[endpoint.handle];
  made.object = endpoint.pod();
  made.pod.name = endpoint.container_id + "/" + endpoint.ifname;
  made.pod.node = context_.node;
  made.pod.addresses = endpoint.addresses;
  made.pod.host_ports = endpoint.ports;
  made.counts = !store_.snapshot().pods.contains(made.object);
  if (made.counts) replace_host_ports(nullptr, &made.pod, &made.pod);
}

void ServiceTracker::change_sandboxes_of(const RowChange<Pod>& row) {
  if ((row.before == nullptr) == (row.after == nullptr)) return;
  const ObjectKey key = (row.after != nullptr ? row.after : row.before)->key();
  for (auto& [handle, sandbox] : sandboxes_) {
    const bool counts = row.after == nullptr;
    if (sandbox.object != key || sandbox.counts == counts) continue;
    sandbox.counts = counts;
    replace_host_ports(counts ? nullptr : &sandbox.pod, counts ? &sandbox.pod : nullptr,
                       &sandbox.pod);
  }
}

void ServiceTracker::replace_host_ports(const Pod* before, const Pod* after, const Pod* row) {
  dirty_pods_.erase(row);
  if (before != nullptr) {
    claims_.remove(*before, row);
    mark(claims_.rivals(*before));
    mark_gone(port_keys(*before),
              after != nullptr ? port_keys(*after) : std::vector<ServicePortKey>());
    pod_complaints_.erase(before->key());
  }
  if (after == nullptr) return;
  mark(claims_.rivals(*after));
  claims_.add(*after, row);
  dirty_pods_.insert(row);
  for (const ServicePortKey& key : port_keys(*after)) gone_.erase(key);
}

// A pod that moves is for a while on two nodes: the one here counts.
std::uint32_t ServiceTracker::weight_of(const ObjectKey& pod) const {
  const auto here = store_.snapshot().pods.find(pod);
  if (here != store_.snapshot().pods.end()) return here->second.weight;
  const auto elsewhere = store_.snapshot().pod_endpoints.find(pod);
  return elsewhere != store_.snapshot().pod_endpoints.end() ? elsewhere->unpack().weight : 1;
}

template <typename T>
void ServiceTracker::change_weight(const RowChange<T>& row) {
  const bool was_one = row.before == nullptr || row.before->weight == 1;
  if (was_one && (row.after == nullptr || row.after->weight == 1)) return;
  const ObjectKey key = row.after != nullptr ? row.after->key() : row.before->key();
  const std::uint32_t after = weight_of(key);
  const auto known = weights_.find(key);
  if (after == (known != weights_.end() ? known->second : 1)) return;
  weights_.erase(key);
  if (after != 1) weights_[key] = after;
  changed_weights_.insert(key);
  context_.weight = nullptr;
  if (weights_.empty()) return;
  context_.weight = [this](const ObjectKey& pod) {
    const auto it = weights_.find(pod);
    return it == weights_.end() ? 1U : it->second;
  };
}

void ServiceTracker::mark(const ObjectKey& service) {
  const auto it = store_.snapshot().services.find(service);
  if (it != store_.snapshot().services.end()) dirty_.insert(&*it);
}

void ServiceTracker::mark(const ServiceClaims::Rivals& rivals) {
  dirty_.insert(rivals.services.begin(), rivals.services.end());
  contested_.insert(contested_.end(), rivals.services.begin(), rivals.services.end());
  dirty_pods_.insert(rivals.pods.begin(), rivals.pods.end());
}

void ServiceTracker::mark_all() {
  for (const auto& row : store_.snapshot().services) dirty_.insert(&row);
}

void ServiceTracker::mark_gone(const std::vector<ServicePortKey>& before,
                               const std::vector<ServicePortKey>& after) {
  for (const ServicePortKey& key : before) {
    if (!holds(after, key)) gone_.insert(key);
  }
}

bool ServiceTracker::pending() const {
  return !dirty_.empty() || !dirty_pods_.empty() || !gone_.empty() || !changed_ranges_.empty() ||
         !changed_weights_.empty();
}

void ServiceTracker::settle() {
  if (!changed_ranges_.empty()) mark_services_inside(std::exchange(changed_ranges_, {}));
  if (!changed_weights_.empty()) mark_services_of(std::exchange(changed_weights_, {}));
}

void ServiceTracker::mark_services_inside(const NodeRanges& ranges) {
  const auto is_inside = [&ranges](const Address& address) {
    return ranges.is_node(address) || ranges.pod_range(address);
  };
  for (const auto& row : store_.snapshot().services) {
    const Service service = row.unpack();
    if (std::ranges::any_of(service.cluster_ips, is_inside) ||
        std::ranges::any_of(service.external_ips, is_inside) ||
        std::ranges::any_of(service.ingress, is_inside, &Ingress::address)) {
      dirty_.insert(&row);
    }
  }
}

// No index leads from pods to slices: only pods with a weight of their own would use it.
void ServiceTracker::mark_services_of(const std::set<ObjectKey>& pods) {
  const auto& slices = store_.snapshot().slices;
  std::string done;
  for (const ObjectKey& pod : pods) {
    if (pod.namespace_ == done) continue;
    done = pod.namespace_;
    for (auto it = slices.lower_bound(ObjectKey{done, ""}); it != slices.end(); ++it) {
      const EndpointSlice slice = it->unpack();
      if (slice.namespace_ != done) break;
      const bool has_one = std::ranges::any_of(slice.endpoints, [&](const auto& endpoint) {
        return pods.contains({slice.namespace_, endpoint.pod});
      });
      if (has_one) mark(slice.service_key());
    }
  }
}

ServiceChanges ServiceTracker::take(std::size_t most) {
  settle();
  ServiceChanges out;
  for (const ServicePortKey& key : gone_) out.try_emplace(key);
  gone_.clear();
  for (const Pod* pod : std::exchange(dirty_pods_, {})) compile(*pod, out);
  std::vector<const ServiceRow*> together = std::exchange(contested_, {});
  for (std::size_t n = 0; !dirty_.empty() && (n < most || !together.empty()); ++n) {
    if (together.empty()) together.push_back(*dirty_.begin());
    while (!together.empty()) {
      const ServiceRow* row = together.back();
      together.pop_back();
      if (dirty_.erase(row) == 0) continue;
      const Service service = row->unpack();
      compile(service, out);
      const auto rivals = claims_.rivals(service).services;
      together.insert(together.end(), rivals.begin(), rivals.end());
    }
  }
  return out;
}

void ServiceTracker::compile(const Service& service, ServiceChanges& out) {
  ++compiled_;
  std::vector<std::string> complaints;
  std::vector<Claim> claims = claims_of(service, context_.external_ips, &complaints);
  std::erase_if(claims, [&](const Claim& claim) {
    std::string why = refusal(service, claim);
    if (why.empty()) return false;
    complaints.push_back(std::move(why));
    return true;
  });
  const auto slices = slices_of(service.key());
  if (is_served(service)) check_slices(service, slices, complaints);
  for (ServicePortKey& key : port_keys(service)) out[std::move(key)] = {};
  compile_claims(service, claims, slices, context_, out);
  keep(complaints_, service.key(), std::move(complaints));
}

void ServiceTracker::compile(const Pod& pod, ServiceChanges& out) {
  std::vector<std::string> complaints;
  std::vector<Claim> claims = claims_of(pod);
  std::erase_if(claims, [&](const Claim& claim) {
    const auto other = claims_.preferred(claim, pod);
    if (other) {
      complaints.push_back(fmt::format("{} {}: {} goes to {}",
                                       pod.namespace_.empty() ? "sandbox" : "pod",
                                       pod.key().to_string(), claim.to_string(), *other));
    }
    return other.has_value();
  });
  for (ServicePortKey& key : port_keys(pod)) out[std::move(key)] = {};
  compile_claims(pod, claims, out);
  keep(pod_complaints_, pod.key(), std::move(complaints));
}

std::string ServiceTracker::refusal(const Service& service, const Claim& claim) const {
  if (const auto why = claims_.refused(claim)) {
    return fmt::format("service {}: {} {}; it is not served", service.key().to_string(),
                       claim.to_string(), *why);
  }
  const auto other = claims_.preferred(claim, service);
  if (!other) return {};
  return fmt::format("service {}: {} goes to {}", service.key().to_string(), claim.to_string(),
                     *other);
}

std::vector<std::string> ServiceTracker::conflicts() const {
  std::vector<std::string> out;
  for (const auto* all : {&complaints_, &pod_complaints_}) {
    for (const auto& [key, complaints] : *all) {
      out.insert(out.end(), complaints.begin(), complaints.end());
    }
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> ServiceTracker::complaints(const ObjectKey& service) const {
  const auto found = complaints_.find(service);
  return found == complaints_.end() ? std::vector<std::string>() : found->second;
}

std::vector<ServiceTracker::Health> ServiceTracker::health() const {
  std::vector<Health> out;
  for (const ServiceRow* row : health_checked_) {
    const Service service = row->unpack();
    out.push_back({service.key(), service.health_check_port,
                   count_ready_here(service, slices_of(service.key()), context_.node)});
  }
  std::ranges::sort(out, {}, &Health::service);
  return out;
}

std::vector<EndpointSlice> ServiceTracker::slices_of(const ObjectKey& service) const {
  std::vector<EndpointSlice> out;
  slices_.for_each(hash_of(service.namespace_, service.name), [&](const auto& row) {
    EndpointSlice slice = row.unpack();
    if (slice.service_key() == service) out.push_back(std::move(slice));
  });
  std::ranges::sort(out, {}, &EndpointSlice::name);
  return out;
}

}  // namespace weir
