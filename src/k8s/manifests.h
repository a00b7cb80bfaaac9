#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/object.h"

namespace weir {

// Kubernetes YAML for the local cluster, read and checked. What is here is complete and valid:
// names are DNS labels or subdomains, ports are numbers, selectors match their templates.

struct EnvVar {
  std::string name;
  std::string value;
  std::string field_path;  // valueFrom.fieldRef: "metadata.name", "status.podIP", ...; else empty

  friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

struct ContainerPort {
  std::string name;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t host_port = 0;  // 0: none
  Address host_ip = {};         // zero: any

  friend bool operator==(const ContainerPort&, const ContainerPort&) = default;
};

struct Probe {
  enum class Type : std::uint8_t { kHttpGet, kTcpSocket, kExec };
  Type type = Type::kTcpSocket;
  std::vector<std::string> command;  // exec
  std::string host;                  // empty: the pod's address
  std::uint16_t port = 0;
  std::string path = "/";                      // httpGet
  std::map<std::string, std::string> headers;  // httpGet
  std::uint32_t initial_delay_seconds = 0;
  std::uint32_t period_seconds = 10;
  std::uint32_t timeout_seconds = 1;
  std::uint32_t success_threshold = 1;
  std::uint32_t failure_threshold = 3;

  friend bool operator==(const Probe&, const Probe&) = default;
};

struct Container {
  std::string name;
  std::vector<std::string> command;  // both empty: the bundled server
  std::vector<std::string> args;
  std::vector<EnvVar> env;
  std::vector<ContainerPort> ports;
  std::optional<Probe> readiness;
  std::vector<std::string> pre_stop;         // lifecycle.preStop.exec.command; empty: none
  std::uint32_t pre_stop_sleep_seconds = 0;  // lifecycle.preStop.sleep

  friend bool operator==(const Container&, const Container&) = default;
};

enum class RestartPolicy : std::uint8_t { kAlways, kOnFailure, kNever };

struct PodSpec {
  std::vector<Container> containers;  // at least one
  std::string node_name;              // empty: any
  bool host_network = false;
  RestartPolicy restart_policy = RestartPolicy::kAlways;
  std::uint32_t termination_grace_seconds = 30;

  friend bool operator==(const PodSpec&, const PodSpec&) = default;
};

struct Place {
  std::string file;
  int line = 0;

  std::string to_string() const;
};

struct Meta {
  std::string namespace_;  // empty: cluster-scoped
  std::string name;
  Labels labels;
  Labels annotations;
  Place place;
  std::int64_t created = 0;  // creationTimestamp, seconds since 1970; 0: not given

  ObjectKey key() const { return {namespace_, name}; }
};

struct NamespaceManifest {
  Meta meta;
};

struct PodManifest {
  Meta meta;
  PodSpec spec;
};

// A number of pods, or a share of the replicas in percent.
struct PodCount {
  std::uint32_t number = 0;
  bool percent = false;

  friend bool operator==(const PodCount&, const PodCount&) = default;
};

struct RolloutStrategy {
  bool recreate = false;
  PodCount max_surge = {25, true};
  PodCount max_unavailable = {25, true};

  friend bool operator==(const RolloutStrategy&, const RolloutStrategy&) = default;
};

struct DeploymentManifest {
  Meta meta;
  std::uint32_t replicas = 1;
  Labels selector;
  Labels template_labels;  // the selector matches them
  Labels template_annotations;
  PodSpec spec;
  RolloutStrategy strategy;
  std::uint32_t min_ready_seconds = 0;
};

enum class FamilyPolicy : std::uint8_t { kSingleStack, kPreferDualStack, kRequireDualStack };

struct ServiceManifest {
  Meta meta;
  Service service;
  std::optional<FamilyPolicy> family_policy;  // ipFamilyPolicy
  std::optional<Address> balancer_ip;         // loadBalancerIP
  std::string external_name;                  // of type ExternalName
};

struct EndpointSliceManifest {
  Meta meta;
  EndpointSlice slice;
};

struct Manifests {
  std::vector<NamespaceManifest> namespaces;
  std::vector<PodManifest> pods;
  std::vector<DeploymentManifest> deployments;
  std::vector<ServiceManifest> services;
  std::vector<EndpointSliceManifest> slices;
};

struct ManifestsResult {
  Manifests manifests;  // to be used only if there are no errors
  // "shop.yaml:14: Deployment shop/cart: spec.replicas: must be 0 to 256, is 'many'"
  std::vector<std::string> errors;
  // Once per kind and field: what is not known, or known and without effect here.
  std::vector<std::string> warnings;

  bool ok() const { return errors.empty(); }
};

// Reads YAML files, and the *.yaml, *.yml and *.json of directories (not of their subdirectories),
// each with one or more documents; "-" is standard input. Objects without a namespace are in
// "default".
// `known_namespaces`: those that exist already, beside "default".
ManifestsResult load_manifests(const std::vector<std::string>& paths,
                               const std::set<std::string>& known_namespaces = {});

// The same from text; `file` is what the messages call it.
ManifestsResult parse_manifests(std::string_view yaml, const std::string& file,
                                const std::set<std::string>& known_namespaces = {});

// As model values; the caller fills in what only a running cluster knows (uid, node, addresses,
// phase). to_json() in json.h writes them.
Namespace to_model(const NamespaceManifest& manifest);
Pod to_model(const PodManifest& manifest);
Service to_model(const ServiceManifest& manifest);
EndpointSlice to_model(const EndpointSliceManifest& manifest);
// Of its annotations: bits per second that the pod receives and sends at most; 0: not said.
struct PodBandwidth {
  std::uint64_t ingress = 0;
  std::uint64_t egress = 0;
};
PodBandwidth bandwidth_of(const PodManifest& manifest);
// A pod of the Deployment; the caller chooses its name.
PodManifest pod_of(const DeploymentManifest& manifest, const std::string& pod_name);

}  // namespace weir
