// YAML of a pod's spec -> PodSpec.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {
namespace {

constexpr std::size_t kMaxContainers = 16;
constexpr std::uint32_t kMaxSeconds = 86400;

// metadata.labels['x'], metadata.annotations['x'] and the fields below.
bool is_field_path(std::string_view path) {
  static constexpr std::string_view kPaths[] = {
      "metadata.name", "metadata.namespace", "metadata.uid",
      "spec.nodeName", "status.hostIP",      "status.hostIPs",
      "status.podIP",  "status.podIPs",      "spec.serviceAccountName"};
  if (std::ranges::find(kPaths, path) != std::end(kPaths)) return true;
  return path.ends_with("']") &&
         (path.starts_with("metadata.labels['") || path.starts_with("metadata.annotations['"));
}

EnvVar read_env(const Field& field) {
  Map map(field);
  EnvVar out;
  const Field name = map.need("name");
  out.name = name.text();
  if (name.is_text() && (out.name.empty() || out.name.find('=') != std::string::npos)) {
    name.must("be a name without '='");
  }
  const Field value = map.get("value");
  out.value = value.text();
  const Field from_field = map.get("valueFrom");
  if (from_field.present()) {
    if (value.present()) from_field.error("may not stand beside value");
    Map from(from_field);
    const Field ref_field = from.get("fieldRef");
    if (ref_field.present()) {
      Map ref(ref_field);
      ref.skip("apiVersion");
      const Field path = ref.need("fieldPath");
      out.field_path = path.text();
      if (path.is_text() && !is_field_path(out.field_path)) {
        path.must("be a field that pods have here");
      }
      ref.rest({});
    }
    from.rest({"configMapKeyRef", "secretKeyRef", "resourceFieldRef", "fileKeyRef"});
  }
  map.rest({});
  return out;
}

// A reference that is ignored here leaves the variable unset, not empty.
bool has_value(const Field& field) {
  const Yaml* from = field.yaml() != nullptr ? field.yaml()->find("valueFrom") : nullptr;
  return from == nullptr || from->type != Yaml::Type::kMap || from->find("fieldRef") != nullptr;
}

ContainerPort read_container_port(const Field& field) {
  Map map(field);
  ContainerPort out;
  out.port = static_cast<std::uint16_t>(map.need("containerPort").number(1, 65535, 0));
  out.name = read_port_name(map.get("name"));
  out.protocol = read_protocol(map.get("protocol"));
  out.host_port = static_cast<std::uint16_t>(map.get("hostPort").number(0, 65535, 0));
  const Field host_ip = map.get("hostIP");
  if (host_ip.is_text() && !host_ip.text().empty()) {
    out.host_ip = host_ip.address().value_or(Address());
  }
  map.rest({});
  return out;
}

std::uint16_t read_probe_port(const Field& port, const std::vector<ContainerPort>& ports) {
  if (!port.is_text()) return static_cast<std::uint16_t>(port.number(1, 65535, 0));
  const std::string name = port.text();
  const auto named = std::ranges::find(ports, name, &ContainerPort::name);
  if (!name.empty() && named != ports.end()) return named->port;
  port.must("be 1 to 65535 or the name of a port of this container");
  return 0;
}

void read_headers(const Field& field, Probe& out) {
  for (const Field& item : field.items()) {
    Map header(item);
    const std::string name = header.need("name").text();
    const std::string value = header.need("value").text();
    if (name.find_first_of("\r\n: ") != std::string::npos ||
        value.find_first_of("\r\n") != std::string::npos) {
      item.error("must be a valid header");
    }
    out.headers[name] = value;
    header.rest({});
  }
}

void read_http_get(const Field& field, const std::vector<ContainerPort>& ports, Probe& out) {
  Map map(field);
  out.type = Probe::Type::kHttpGet;
  out.port = read_probe_port(map.need("port"), ports);
  out.host = map.get("host").text();
  map.get("scheme").word({"HTTP"}, "HTTP");
  const Field path = map.get("path");
  if (path.present()) out.path = path.text();
  if (!out.path.starts_with('/')) out.path = fmt::format("/{}", out.path);
  if (std::ranges::any_of(out.path, [](char c) { return c <= ' '; })) path.must("have no spaces");
  read_headers(map.get("httpHeaders"), out);
  map.rest({});
}

void read_tcp_socket(const Field& field, const std::vector<ContainerPort>& ports, Probe& out) {
  Map map(field);
  out.type = Probe::Type::kTcpSocket;
  out.port = read_probe_port(map.need("port"), ports);
  out.host = map.get("host").text();
  map.rest({});
}

std::vector<std::string> read_exec(const Field& field) {
  Map map(field);
  const Field command = map.need("command");
  std::vector<std::string> out = command.texts();
  const bool is_empty = command.present() && command.yaml()->type == Yaml::Type::kList &&
                        (out.empty() || out.front().empty());
  if (is_empty) command.error("must name a program");
  map.rest({});
  return out;
}

// Exactly one, or one of a type that is ignored here.
bool read_probe_action(Map& map, const std::vector<ContainerPort>& ports, Probe& out) {
  const Field http = map.get("httpGet");
  const Field tcp = map.get("tcpSocket");
  const Field exec = map.get("exec");
  const int count = int{http.present()} + int{tcp.present()} + int{exec.present()};
  if (count > 1) map.field().error("must have one of httpGet, tcpSocket and exec only");
  if (http.present()) read_http_get(http, ports, out);
  if (tcp.present()) read_tcp_socket(tcp, ports, out);
  if (exec.present()) {
    out.type = Probe::Type::kExec;
    out.command = read_exec(exec);
  }
  return count > 0;
}

// Probes of other types are ignored, and said to be.
std::optional<Probe> read_probe(const Field& field, const std::vector<ContainerPort>& ports) {
  if (!field.present()) return std::nullopt;
  Map map(field);
  Probe out;
  const bool has_action = read_probe_action(map, ports, out);
  out.initial_delay_seconds = map.get("initialDelaySeconds").number(0, kMaxSeconds, 0);
  out.period_seconds = map.get("periodSeconds").number(1, kMaxSeconds, 10);
  out.timeout_seconds = map.get("timeoutSeconds").number(1, kMaxSeconds, 1);
  out.success_threshold = map.get("successThreshold").number(1, 1000, 1);
  out.failure_threshold = map.get("failureThreshold").number(1, 1000, 3);
  map.rest({"grpc", "terminationGracePeriodSeconds"});
  if (has_action) return out;
  if (field.yaml()->find("grpc") == nullptr) {
    field.error("must have httpGet, tcpSocket or exec");
  }
  return std::nullopt;
}

// lifecycle.preStop by exec or sleep; what else there is is ignored.
void read_lifecycle(const Field& field, Container& out) {
  Map lifecycle(field);
  Map stop(lifecycle.get("preStop"));
  const Field exec = stop.get("exec");
  const Field sleep_field = stop.get("sleep");
  if (exec.present() && sleep_field.present()) sleep_field.error("may not stand beside exec");
  if (exec.present()) out.pre_stop = read_exec(exec);
  Map sleep(sleep_field);
  out.pre_stop_sleep_seconds = sleep.get("seconds").number(0, kMaxSeconds, 0);
  sleep.rest({});
  stop.rest({"httpGet", "tcpSocket"});
  lifecycle.rest({"postStart", "stopSignal"});
}

Container read_container(const Field& field) {
  Map map(field);
  Container out;
  map.skip("image");
  out.name = map.need("name").dns_label();
  out.command = map.get("command").texts();
  out.args = map.get("args").texts();
  for (const Field& item : map.get("env").items()) {
    EnvVar env = read_env(item);
    if (has_value(item)) out.env.push_back(std::move(env));
  }
  for (const Field& item : map.get("ports").items()) out.ports.push_back(read_container_port(item));
  out.readiness = read_probe(map.get("readinessProbe"), out.ports);
  read_lifecycle(map.get("lifecycle"), out);
  map.rest({"envFrom", "imagePullPolicy", "livenessProbe", "resizePolicy", "resources",
            "restartPolicy", "securityContext", "startupProbe", "stdin", "stdinOnce",
            "terminationMessagePath", "tty", "terminationMessagePolicy", "volumeDevices",
            "volumeMounts", "workingDir"});
  return out;
}

// Names of containers, and of ports in the whole pod, are said once.
void check_names(const std::vector<Container>& containers, const Field& field) {
  std::set<std::string> names;
  std::set<std::string> ports;
  const auto items = field.items();
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const Container& container = containers[i];
    if (!container.name.empty() && !names.insert(container.name).second) {
      items[i].error(fmt::format("another container is named '{}'", container.name));
    }
    for (const ContainerPort& port : container.ports) {
      if (!port.name.empty() && !ports.insert(port.name).second) {
        items[i].error(fmt::format("another port is named '{}'", port.name));
      }
    }
  }
}

// On the host's network, a port is the host's own already.
void check_host_port(const ContainerPort& port, const PodSpec& spec, const Field& field) {
  if (spec.host_network && port.host_port != 0 && port.host_port != port.port) {
    field.error("hostPort must be the containerPort, since the pod has hostNetwork");
  }
}

// hostPorts are said once per address and protocol.
void check_host_ports(const PodSpec& spec, const Field& field) {
  std::set<std::tuple<Protocol, std::uint16_t, Address>> taken;
  const auto items = field.items();
  for (std::size_t i = 0; i < spec.containers.size(); ++i) {
    for (const ContainerPort& port : spec.containers[i].ports) {
      check_host_port(port, spec, items[i]);
      if (port.host_port == 0) continue;
      if (taken.insert({port.protocol, port.host_port, port.host_ip}).second) continue;
      items[i].error(fmt::format("hostPort {}/{} is there twice", port.host_port,
                                 protocol_name(port.protocol)));
    }
  }
}

RestartPolicy read_restart_policy(const Field& field) {
  const std::string word = field.word({"Always", "OnFailure", "Never"}, "Always");
  if (word == "OnFailure") return RestartPolicy::kOnFailure;
  return word == "Never" ? RestartPolicy::kNever : RestartPolicy::kAlways;
}

}  // namespace

PodSpec read_pod_spec(const Field& spec) {
  Map map(spec);
  PodSpec out;
  const Field containers = map.need("containers");
  const auto items = containers.items();
  if (containers.present() && (items.empty() || items.size() > kMaxContainers)) {
    containers.error(fmt::format("must have 1 to {} containers", kMaxContainers));
  }
  for (std::size_t i = 0; i < std::min(items.size(), kMaxContainers); ++i) {
    out.containers.push_back(read_container(items[i]));
  }
  check_names(out.containers, containers);
  out.node_name = map.get("nodeName").dns_label();
  out.host_network = map.get("hostNetwork").flag();
  check_host_ports(out, containers);
  out.restart_policy = read_restart_policy(map.get("restartPolicy"));
  out.termination_grace_seconds =
      map.get("terminationGracePeriodSeconds").number(0, kMaxSeconds, 30);
  map.rest({"activeDeadlineSeconds",
            "affinity",
            "automountServiceAccountToken",
            "dnsConfig",
            "dnsPolicy",
            "enableServiceLinks",
            "ephemeralContainers",
            "hostAliases",
            "hostIPC",
            "hostPID",
            "hostUsers",
            "hostname",
            "imagePullSecrets",
            "initContainers",
            "nodeSelector",
            "os",
            "overhead",
            "preemptionPolicy",
            "priority",
            "priorityClassName",
            "readinessGates",
            "resourceClaims",
            "resources",
            "runtimeClassName",
            "schedulerName",
            "schedulingGates",
            "securityContext",
            "serviceAccount",
            "serviceAccountName",
            "setHostnameAsFQDN",
            "shareProcessNamespace",
            "subdomain",
            "tolerations",
            "topologySpreadConstraints",
            "volumes"});
  return out;
}

}  // namespace weir::k8s
