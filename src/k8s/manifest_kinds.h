#pragma once

#include "k8s/field.h"
#include "k8s/manifests.h"

namespace weir::k8s {

// The meaning of each kind's YAML, one file per kind. What is wrong goes to the subject's report.
PodSpec read_pod_spec(const Field& spec);
DeploymentManifest read_deployment(Meta meta, const Field& spec);
ServiceManifest read_service(Meta meta, const Field& spec);

// Labels and annotations of metadata, in an object or a template.
void read_labels(Map& metadata, Labels& labels, Labels& annotations);

}  // namespace weir::k8s
