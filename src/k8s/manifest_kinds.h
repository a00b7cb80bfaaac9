#pragma once

#include "k8s/field.h"
#include "k8s/manifests.h"

namespace weir::k8s {

// The meaning of each kind's YAML, one file per kind. What is wrong goes to the subject's report.
PodSpec read_pod_spec(const Field& spec);
DeploymentManifest read_deployment(Meta meta, const Field& spec);
ServiceManifest read_service(Meta meta, Map& object);
// No slice of names (addressType FQDN): nothing here uses it.
std::optional<EndpointSliceManifest> read_endpoint_slice(Meta meta, Map& object);

// Contradictions between a Service's fields that an API server refuses.
void check_service(const ServiceManifest& manifest, Map& spec);

Protocol read_protocol(const Field& field);  // absent: TCP
std::string read_port_name(const Field& name);
// An address that others can reach: not the zero address, loopback, link-local.
std::optional<Address> read_reachable(const Field& field);

// Labels and annotations of metadata, in an object or a template. Wrong ones of Weir are errors.
void read_labels(Map& metadata, Labels& labels, Labels& annotations);

}  // namespace weir::k8s
