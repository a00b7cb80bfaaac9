#include "local/manifest_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "k8s/json.h"

namespace weir::local {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void put_map(Json& place, const char* name, const Labels& values) {
  for (const auto& [key, value] : values) place[name][key] = value;
}

Json meta_json(const Meta& meta) {
  Json json = {{"name", meta.name}};
  if (!meta.namespace_.empty()) json["namespace"] = meta.namespace_;
  put_map(json, "labels", meta.labels);
  put_map(json, "annotations", meta.annotations);
  return json;
}

Json probe_action(const Probe& probe) {
  if (probe.type == Probe::Type::kExec) return {{"command", probe.command}};
  Json action = {{"port", probe.port}};
  if (!probe.host.empty()) action["host"] = probe.host;
  if (probe.type == Probe::Type::kHttpGet) action["path"] = probe.path;
  for (const auto& [name, value] : probe.headers) {
    action["httpHeaders"].push_back({{"name", name}, {"value", value}});
  }
  return action;
}

const char* probe_name(Probe::Type type) {
  switch (type) {
    case Probe::Type::kHttpGet:
      return "httpGet";
    case Probe::Type::kTcpSocket:
      return "tcpSocket";
    case Probe::Type::kExec:
      return "exec";
  }
  return "?";
}

Json probe_json(const Probe& probe) {
  Json json = {{"initialDelaySeconds", probe.initial_delay_seconds},
               {"periodSeconds", probe.period_seconds},
               {"timeoutSeconds", probe.timeout_seconds},
               {"successThreshold", probe.success_threshold},
               {"failureThreshold", probe.failure_threshold}};
  json[probe_name(probe.type)] = probe_action(probe);
  return json;
}

Json env_json(const EnvVar& variable) {
  if (variable.field_path.empty()) return {{"name", variable.name}, {"value", variable.value}};
  return {{"name", variable.name},
          {"valueFrom", {{"fieldRef", {{"fieldPath", variable.field_path}}}}}};
}

Json port_json(const ContainerPort& port) {
  Json json = {{"containerPort", port.port}, {"protocol", protocol_name(port.protocol)}};
  if (!port.name.empty()) json["name"] = port.name;
  if (port.host_port != 0) json["hostPort"] = port.host_port;
  if (!port.host_ip.is_zero()) json["hostIP"] = port.host_ip.to_string();
  return json;
}

Json pre_stop_json(const Container& container) {
  if (!container.pre_stop.empty()) return {{"exec", {{"command", container.pre_stop}}}};
  return {{"sleep", {{"seconds", container.pre_stop_sleep_seconds}}}};
}

Json container_json(const Container& container) {
  Json json = {{"name", container.name}};
  if (!container.command.empty()) json["command"] = container.command;
  if (!container.args.empty()) json["args"] = container.args;
  for (const auto& variable : container.env) json["env"].push_back(env_json(variable));
  for (const auto& port : container.ports) json["ports"].push_back(port_json(port));
  if (container.readiness) json["readinessProbe"] = probe_json(*container.readiness);
  if (!container.pre_stop.empty() || container.pre_stop_sleep_seconds != 0) {
    json["lifecycle"]["preStop"] = pre_stop_json(container);
  }
  return json;
}

const char* restart_name(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::kAlways:
      return "Always";
    case RestartPolicy::kOnFailure:
      return "OnFailure";
    case RestartPolicy::kNever:
      return "Never";
  }
  return "?";
}

Json spec_json(const PodSpec& spec) {
  Json json;
  for (const auto& container : spec.containers) {
    json["containers"].push_back(container_json(container));
  }
  if (!spec.node_name.empty()) json["nodeName"] = spec.node_name;
  if (spec.host_network) json["hostNetwork"] = true;
  json["restartPolicy"] = restart_name(spec.restart_policy);
  json["terminationGracePeriodSeconds"] = spec.termination_grace_seconds;
  return json;
}

Json template_json(const DeploymentManifest& manifest) {
  Json meta = Json::object();
  put_map(meta, "labels", manifest.template_labels);
  put_map(meta, "annotations", manifest.template_annotations);
  return {{"metadata", meta}, {"spec", spec_json(manifest.spec)}};
}

Json count_json(const PodCount& count) {
  if (count.percent) return fmt::format("{}%", count.number);
  return count.number;
}

Json strategy_json(const RolloutStrategy& strategy) {
  if (strategy.recreate) return {{"type", "Recreate"}};
  return {{"type", "RollingUpdate"},
          {"rollingUpdate",
           {{"maxSurge", count_json(strategy.max_surge)},
            {"maxUnavailable", count_json(strategy.max_unavailable)}}}};
}

const char* policy_name(FamilyPolicy policy) {
  switch (policy) {
    case FamilyPolicy::kSingleStack:
      return "SingleStack";
    case FamilyPolicy::kPreferDualStack:
      return "PreferDualStack";
    case FamilyPolicy::kRequireDualStack:
      return "RequireDualStack";
  }
  return "?";
}

}  // namespace

std::string to_manifest(const NamespaceManifest& manifest) {
  return dump(
      {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", meta_json(manifest.meta)}});
}

std::string to_manifest(const PodManifest& manifest) {
  return dump({{"apiVersion", "v1"},
               {"kind", "Pod"},
               {"metadata", meta_json(manifest.meta)},
               {"spec", spec_json(manifest.spec)}});
}

std::string to_manifest(const DeploymentManifest& manifest) {
  Json selector = Json::object();
  put_map(selector, "matchLabels", manifest.selector);
  return dump({{"apiVersion", "apps/v1"},
               {"kind", "Deployment"},
               {"metadata", meta_json(manifest.meta)},
               {"spec",
                {{"replicas", manifest.replicas},
                 {"minReadySeconds", manifest.min_ready_seconds},
                 {"strategy", strategy_json(manifest.strategy)},
                 {"selector", selector},
                 {"template", template_json(manifest)}}}});
}

// The object's own JSON, with what only manifests have.
std::string to_manifest(const ServiceManifest& manifest) {
  auto json = Json::parse(to_json(manifest.service));
  json["metadata"].update(meta_json(manifest.meta));
  auto& spec = json["spec"];
  if (manifest.family_policy) spec["ipFamilyPolicy"] = policy_name(*manifest.family_policy);
  if (manifest.balancer_ip) spec["loadBalancerIP"] = manifest.balancer_ip->to_string();
  if (!manifest.external_name.empty()) spec["externalName"] = manifest.external_name;
  return dump(json);
}

std::string to_manifest(const EndpointSliceManifest& manifest) {
  auto json = Json::parse(to_json(manifest.slice));
  json["metadata"].update(meta_json(manifest.meta));
  return dump(json);
}

std::string template_text(const PodManifest& manifest) {
  Json meta = Json::object();
  put_map(meta, "labels", manifest.meta.labels);
  put_map(meta, "annotations", manifest.meta.annotations);
  return dump({{"metadata", meta}, {"spec", spec_json(manifest.spec)}});
}

std::string template_text(const DeploymentManifest& manifest) {
  return dump(template_json(manifest));
}

}  // namespace weir::local
