// YAML of a Deployment -> DeploymentManifest.
#include <fmt/format.h>

#include <algorithm>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

constexpr std::uint32_t kMaxReplicas = 256;
constexpr std::size_t kMaxName = 58;  // pods add "-255" to it, and are host names

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
  spec.rest(
      {"minReadySeconds", "paused", "progressDeadlineSeconds", "revisionHistoryLimit", "strategy"});
  if (out.meta.name.size() > kMaxName) {
    spec_field.error(
        fmt::format("the Deployment's name must have at most {} characters, since its "
                    "pods' names are longer",
                    kMaxName));
  }
  return out;
}

}  // namespace weir::k8s
