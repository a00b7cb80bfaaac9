#pragma once

#include "k8s/value.h"
#include "model/object.h"

namespace weir::k8s {

// Services and EndpointSlices that have one of these labels are served by others, or by nobody.
inline constexpr const char* kProxyLabel = "service.kubernetes.io/service-proxy-name";
inline constexpr const char* kHeadlessLabel = "service.kubernetes.io/headless";
// Of an EndpointSlice: the Service that it belongs to.
inline constexpr const char* kServiceLabel = "kubernetes.io/service-name";

// Annotations of Weir, see docs/services.md.
inline constexpr const char* kWeightAnnotation = "weir.dev/weight";
inline constexpr const char* kNodeLocalAnnotation = "weir.dev/node-local";  // "true", "false"
inline constexpr const char* kNodeLocalForAnnotation = "weir.dev/node-local-for";  // a Service
inline constexpr const char* kForwardingAnnotation = "weir.dev/forwarding";        // "dsr", "snat"

// Weir's own kinds: deploy/chart/templates/pod-endpoints.yaml.
inline constexpr const char* kOwnVersion = "weir.dev/v1";

// Annotations of Kubernetes' own: bits per second that a pod receives or sends at most.
inline constexpr const char* kIngressBandwidth = "kubernetes.io/ingress-bandwidth";
inline constexpr const char* kEgressBandwidth = "kubernetes.io/egress-bandwidth";

// The meaning of each kind's fields, one file per kind. Wrong fields are told to the Value.
Node read_node(const Value& object);
Namespace read_namespace(const Value& object);
Pod read_pod(const Value& object);
Service read_service(const Value& object);
EndpointSlice read_endpoint_slice(const Value& object);
PodEndpoint read_pod_endpoint(const Value& object);

// Of a port of a Service, a slice or a container; absent: TCP.
Protocol read_protocol(const Value& value);

}  // namespace weir::k8s
