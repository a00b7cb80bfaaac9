#include "state/pod_split.h"

namespace weir {

std::vector<Change> PodSplit::take(Change change) const {
  if (auto* erase = std::get_if<Erase>(&change)) {
    if (erase->kind != Kind::kPod || !whole_pods_) return {std::move(change)};
    return {*erase, Erase{Kind::kPodEndpoint, erase->key}};
  }
  Object& object = std::get<Upsert>(change).object;
  if (auto* pod = std::get_if<Pod>(&object)) return take_pod(std::move(*pod));
  const auto* endpoint = std::get_if<PodEndpoint>(&object);
  if (endpoint != nullptr && endpoint->node == node_) {
    return {Erase{Kind::kPodEndpoint, endpoint->key()}};  // it may have moved here
  }
  return {std::move(change)};
}

std::vector<Change> PodSplit::take_pod(Pod pod) const {
  std::vector<Change> out;
  const bool is_own = pod.node == node_;
  if (whole_pods_) {
    auto endpoint = is_own ? std::nullopt : pod_endpoint_of(pod);
    if (endpoint) {
      out.emplace_back(Upsert{std::move(*endpoint)});
    } else {
      out.emplace_back(Erase{Kind::kPodEndpoint, pod.key()});
    }
  }
  if (is_own) {
    out.emplace_back(Upsert{std::move(pod)});
  } else {
    out.emplace_back(Erase{Kind::kPod, pod.key()});
  }
  return out;
}

}  // namespace weir
