#include "local/manifest_json.h"

#include <nlohmann/json.hpp>

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

Json probe_json(const Probe& probe) {
  Json json = {{"initialDelaySeconds", probe.initial_delay_seconds},
               {"periodSeconds", probe.period_seconds},
               {"timeoutSeconds", probe.timeout_seconds},
               {"successThreshold", probe.success_threshold},
               {"failureThreshold", probe.failure_threshold}};
  const bool http = probe.type == Probe::Type::kHttpGet;
  Json action = {{"port", probe.port}};
  if (!probe.host.empty()) action["host"] = probe.host;
  if (http) action["path"] = probe.path;
  for (const auto& [name, value] : probe.headers) {
    action["httpHeaders"].push_back({{"name", name}, {"value", value}});
  }
  json[http ? "httpGet" : "tcpSocket"] = action;
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
  return json;
}

Json container_json(const Container& container) {
  Json json = {{"name", container.name}};
  if (!container.command.empty()) json["command"] = container.command;
  if (!container.args.empty()) json["args"] = container.args;
  for (const auto& variable : container.env) json["env"].push_back(env_json(variable));
  for (const auto& port : container.ports) json["ports"].push_back(port_json(port));
  if (container.readiness) json["readinessProbe"] = probe_json(*container.readiness);
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

Json service_spec(const Service& service) {
  Json json = {{"type", service_type_name(service.type)}};
  put_map(json, "selector", service.selector);
  for (const auto& port : service.ports) {
    Json entry = {{"port", port.port}, {"protocol", protocol_name(port.protocol)}};
    if (!port.name.empty()) entry["name"] = port.name;
    if (port.target.number != 0) entry["targetPort"] = port.target.number;
    if (!port.target.name.empty()) entry["targetPort"] = port.target.name;
    if (port.node_port != 0) entry["nodePort"] = port.node_port;
    json["ports"].push_back(entry);
  }
  if (service.headless) json["clusterIP"] = "None";
  if (!service.cluster_ips.empty()) json["clusterIP"] = service.cluster_ips.front().to_string();
  for (const auto& ip : service.cluster_ips) json["clusterIPs"].push_back(ip.to_string());
  return json;
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
                 {"selector", selector},
                 {"template", template_json(manifest)}}}});
}

std::string to_manifest(const ServiceManifest& manifest) {
  return dump({{"apiVersion", "v1"},
               {"kind", "Service"},
               {"metadata", meta_json(manifest.meta)},
               {"spec", service_spec(manifest.service)}});
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
