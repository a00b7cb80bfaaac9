// Service and pods -> EndpointSlices.

#include "local/slices.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "local/naming.h"

namespace weir::local {
namespace {

// Endpoints with the same ports, in one family.
struct Group {
  std::vector<SlicePort> ports;
  std::vector<SliceEndpoint> endpoints;
};

std::uint16_t find_port(const PodSpec& spec, const ServicePort& port) {
  if (port.target.name.empty()) return port.target.number;
  for (const auto& container : spec.containers) {
    for (const auto& candidate : container.ports) {
      if (candidate.name == port.target.name && candidate.protocol == port.protocol) {
        return candidate.port;
      }
    }
  }
  return 0;
}

std::vector<SlicePort> resolve_ports(const Service& service, const PodSpec& spec) {
  std::vector<SlicePort> ports;
  for (const auto& port : service.ports) {
    const auto number = find_port(spec, port);
    if (number != 0) ports.push_back({port.name, port.protocol, number});
  }
  return ports;
}

void add_hints(const Service& service, SliceEndpoint& endpoint) {
  if (service.distribution == TrafficDistribution::kNone || !endpoint.ready) return;
  if (!endpoint.zone.empty()) endpoint.hinted_zones = {endpoint.zone};
  if (service.distribution == TrafficDistribution::kPreferSameNode && !endpoint.node.empty()) {
    endpoint.hinted_nodes = {endpoint.node};
  }
}

SliceEndpoint make_endpoint(const Service& service, const Pod& pod, Family family,
                            const std::map<std::string, std::string>& zones) {
  SliceEndpoint endpoint;
  for (const auto& address : pod.addresses) {
    if (address.family() == family) endpoint.addresses.push_back(address);
  }
  endpoint.serving = pod.ready;
  endpoint.terminating = pod.terminating;
  endpoint.ready = service.publish_not_ready || (pod.ready && !pod.terminating);
  endpoint.node = pod.node;
  if (const auto zone = zones.find(pod.node); zone != zones.end()) endpoint.zone = zone->second;
  endpoint.pod = pod.name;
  add_hints(service, endpoint);
  return endpoint;
}

std::vector<Group> make_groups(const Service& service, const std::vector<BackingPod>& pods,
                               Family family, const std::map<std::string, std::string>& zones) {
  std::vector<Group> groups;
  for (const auto& [pod, spec] : pods) {
    if (pod.namespace_ != service.namespace_ || pod.finished() || !service.selects(pod.labels)) {
      continue;
    }
    auto endpoint = make_endpoint(service, pod, family, zones);
    if (endpoint.addresses.empty()) continue;
    auto ports = resolve_ports(service, spec);
    auto group = std::ranges::find(groups, ports, &Group::ports);
    if (group == groups.end()) group = groups.insert(group, {std::move(ports), {}});
    group->endpoints.push_back(std::move(endpoint));
  }
  return groups;
}

bool is_same_pod(const SliceEndpoint& a, const SliceEndpoint& b) {
  return a.pod == b.pod && a.node == b.node && a.addresses == b.addresses;
}

// A slice that is being filled.
struct Draft {
  EndpointSlice slice;
  bool changed = false;
};

class SliceFiller {
 public:
  SliceFiller(const Service& service, Family family, std::vector<Group> groups)
      : service_(service), family_(family), groups_(std::move(groups)) {}

  std::vector<EndpointSlice> run(std::vector<EndpointSlice> before) {
    for (auto& slice : before) used_.insert(slice.name);
    for (auto& slice : before) {
      if (slice.family == family_) keep(std::move(slice));
    }
    for (auto& group : groups_) place(group);
    if (result_.empty()) add({});
    std::vector<EndpointSlice> slices;
    for (auto& draft : result_) slices.push_back(std::move(draft.slice));
    return slices;
  }

 private:
  // What is still wanted stays where it is; a slice with nothing wanted leaves its name to others.
  void keep(EndpointSlice slice) {
    const auto group = std::ranges::find(groups_, slice.ports, &Group::ports);
    std::vector<SliceEndpoint> kept;
    for (const auto& endpoint : slice.endpoints) {
      if (group == groups_.end()) break;
      const auto now = std::ranges::find_if(
          group->endpoints, [&](const SliceEndpoint& e) { return is_same_pod(e, endpoint); });
      if (now == group->endpoints.end()) continue;
      kept.push_back(std::move(*now));
      group->endpoints.erase(now);
    }
    if (kept.empty()) {
      free_names_.push_back(slice.name);
      return;
    }
    const bool changed = kept != slice.endpoints;
    slice.endpoints = std::move(kept);
    result_.push_back({std::move(slice), changed});
  }

  void place(Group& group) {
    for (auto* draft : of_group(group, true)) fill(*draft, group);
    while (!group.endpoints.empty()) {
      auto* draft = closest(group);
      fill(draft != nullptr ? *draft : add(group.ports), group);
    }
  }

  // The fullest first.
  std::vector<Draft*> of_group(const Group& group, bool changed) {
    std::vector<Draft*> drafts;
    for (auto& draft : result_) {
      if (draft.changed == changed && draft.slice.ports == group.ports) drafts.push_back(&draft);
    }
    std::ranges::stable_sort(drafts, std::greater(),
                             [](const Draft* d) { return d->slice.endpoints.size(); });
    return drafts;
  }

  // The fullest slice that takes all that is left.
  Draft* closest(const Group& group) {
    for (auto* draft : of_group(group, false)) {
      if (draft->slice.endpoints.size() + group.endpoints.size() <= kMaxSliceEndpoints)
        return draft;
    }
    return nullptr;
  }

  static void fill(Draft& draft, Group& group) {
    auto& endpoints = draft.slice.endpoints;
    const auto room = std::min(kMaxSliceEndpoints - endpoints.size(), group.endpoints.size());
    const auto end = group.endpoints.begin() + static_cast<std::ptrdiff_t>(room);
    endpoints.insert(endpoints.end(), group.endpoints.begin(), end);
    group.endpoints.erase(group.endpoints.begin(), end);
    if (room > 0) draft.changed = true;
  }

  Draft& add(std::vector<SlicePort> ports) {
    EndpointSlice slice;
    slice.namespace_ = service_.namespace_;
    slice.name = new_name();
    slice.service = service_.name;
    slice.family = family_;
    slice.ports = std::move(ports);
    result_.push_back({std::move(slice), false});
    return result_.back();
  }

  std::string new_name() {
    if (!free_names_.empty()) {
      auto name = std::move(free_names_.back());
      free_names_.pop_back();
      return name;
    }
    for (std::uint64_t i = 0;; ++i) {
      const auto seed =
          fmt::format("{}/{}/{}", service_.key().to_string(), static_cast<int>(family_), i);
      auto name = fmt::format("{}-{}", service_.name, safe_encode(hash_text(seed), 5));
      if (used_.insert(name).second) return name;
    }
  }

  const Service& service_;
  Family family_;
  std::vector<Group> groups_;
  std::vector<Draft> result_;
  std::vector<std::string> free_names_;
  std::set<std::string> used_;
};

}  // namespace

std::vector<EndpointSlice> make_slices(const Service& service, const std::vector<BackingPod>& pods,
                                       const std::map<std::string, std::string>& zones,
                                       std::vector<EndpointSlice> before) {
  std::vector<EndpointSlice> result;
  if (service.selector.empty() || service.type == ServiceType::kExternalName) return result;
  for (const auto family : service.families) {
    SliceFiller maker(service, family, make_groups(service, pods, family, zones));
    for (auto& slice : maker.run(before)) result.push_back(std::move(slice));
  }
  return result;
}

}  // namespace weir::local
