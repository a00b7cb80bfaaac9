// YAML of a Deployment -> DeploymentManifest.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

constexpr std::uint32_t kMaxReplicas = 256;

Labels read_selector(const Field& field) {
  Map map(field);
  const Field wanted = map.get("matchLabels");
  const Labels out = wanted.labels();
  const Field expressions = map.get("matchExpressions");
  if (expressions.present()) {
    expressions.error("is not supported here: use matchLabels");
  } else if (field.present() && out.empty()) {
    wanted.error("must have at least one label");
  }
  map.rest({});
  return out;
}

void check_selector(const DeploymentManifest& deployment, const Field& selector) {
  for (const auto& [key, value] : deployment.selector) {
    const auto it = deployment.template_labels.find(key);
    if (it != deployment.template_labels.end() && it->second == value) continue;
    selector.error(fmt::format("wants the label {}={}, which spec.template.metadata.labels lacks",
                               key, value));
  }
}

// "25%", or a number of pods. Absent: 25 %, as in the API.
PodCount read_count(const Field& field) {
  PodCount out{25, true};
  if (!field.present()) return out;
  out.percent = field.is_text();
  if (!out.percent) {
    out.number = field.number(0, kMaxReplicas, 0);
    return out;
  }
  const std::string text = field.text();
  const char* end = text.data() + text.size();
  const auto [stop, ec] = std::from_chars(text.data(), end, out.number);
  if (ec != std::errc() || std::string_view(stop, end) != "%" || out.number > 100) {
    field.must("be a number of pods or 0% to 100%");
    out.number = 0;
  }
  return out;
}

RolloutStrategy read_strategy(const Field& field) {
  Map map(field);
  RolloutStrategy out;
  out.recreate = map.get("type").word({"RollingUpdate", "Recreate"}, "RollingUpdate") == "Recreate";
  const Field rolling_field = map.get("rollingUpdate");
  Map rolling(rolling_field);
  out.max_surge = read_count(rolling.get("maxSurge"));
  out.max_unavailable = read_count(rolling.get("maxUnavailable"));
  rolling.rest({});
  map.rest({});
  if (out.recreate && rolling_field.present()) rolling_field.error("wants type: RollingUpdate");
  if (out.max_surge.number == 0 && out.max_unavailable.number == 0) {
    rolling_field.error("maxSurge and maxUnavailable may not both be 0");
  }
  return out;
}

}  // namespace

DeploymentManifest read_deployment(Meta meta, const Field& spec_field) {
  DeploymentManifest out;
  out.meta = std::move(meta);
  Map spec(spec_field);
  out.replicas = spec.get("replicas").number(0, kMaxReplicas, 1);
  const Field selector = spec.need("selector");
  out.selector = read_selector(selector);
  Map pod_template(spec.need("template"));
  Map metadata(pod_template.get("metadata"));
  read_labels(metadata, out.template_labels, out.template_annotations);
  metadata.rest({"creationTimestamp", "name", "namespace", "finalizers"});
  if (pod_template.field().present()) {
    check_selector(out, selector);
    const Field pod_spec = pod_template.need("spec");
    if (pod_spec.present()) out.spec = read_pod_spec(pod_spec);
    if (out.spec.restart_policy != RestartPolicy::kAlways) {
      pod_spec.error("restartPolicy of a Deployment's pods must be Always");
    }
  }
  pod_template.rest({});
  out.strategy = read_strategy(spec.get("strategy"));
  out.min_ready_seconds = spec.get("minReadySeconds").number(0, 86400, 0);
  spec.rest({"paused", "progressDeadlineSeconds", "revisionHistoryLimit"});
  return out;
}

}  // namespace weir::k8s
