#pragma once

#include <string>

#include "k8s/manifests.h"

namespace weir::local {

// Manifests as Kubernetes JSON, which is YAML too: parse_manifests() reads them back.
std::string to_manifest(const NamespaceManifest& manifest);
std::string to_manifest(const PodManifest& manifest);
std::string to_manifest(const DeploymentManifest& manifest);
std::string to_manifest(const ServiceManifest& manifest);
std::string to_manifest(const EndpointSliceManifest& manifest);

// What makes one pod differ from another of the same kind: the spec, labels and annotations, not
// the name.
std::string template_text(const PodManifest& manifest);
std::string template_text(const DeploymentManifest& manifest);

}  // namespace weir::local
