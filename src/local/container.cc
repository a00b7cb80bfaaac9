#include "local/container.h"

#include <fmt/format.h>

namespace weir::local {
namespace {

constexpr const char* kServer = "weir-pod-server";
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// "metadata.labels['app']" -> "app", for the given field.
std::string subscript(std::string_view path, std::string_view field) {
  if (!path.starts_with(field) || !path.substr(field.size()).starts_with("['") ||
      !path.ends_with("']")) {
    return {};
  }
  return std::string(path.substr(field.size() + 2, path.size() - field.size() - 4));
}

std::string value_of(const Labels& labels, const std::string& key) {
  const auto found = labels.find(key);
  return found == labels.end() ? std::string() : found->second;
}

std::vector<std::string> server_arguments(const Container& container) {
  std::vector<std::string> args;
  for (const auto& port : container.ports) {
    if (port.protocol == Protocol::kSctp) continue;
    args.emplace_back(port.protocol == Protocol::kUdp ? "--udp-echo" : "--http");
    args.push_back(std::to_string(port.port));
  }
  if (args.empty()) args = {"--http", "8080"};
  return args;
}

std::map<std::string, std::string> environment(const Container& container, const Pod& pod,
                                               const Labels& annotations, const Address& host) {
  const auto field = [&](const std::string& path) {
    return field_value(pod, annotations, host, path);
  };
  std::map<std::string, std::string> env = {
      {"PATH", fmt::format("{}:{}", kPodPrograms, kPath)},
      {"HOME", "/root"},
      {"HOSTNAME", pod.name},
      {"POD_NAME", pod.name},
      {"POD_NAMESPACE", pod.namespace_},
      {"POD_IP", field("status.podIP")},
      {"NODE_NAME", pod.node},
  };
  for (const auto& variable : container.env) {
    env[variable.name] = variable.field_path.empty() ? expand_variables(variable.value, env)
                                                     : field(variable.field_path);
  }
  return env;
}

}  // namespace

std::string expand_variables(std::string_view text, const std::map<std::string, std::string>& env) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && text.substr(i + 1).starts_with('$')) {
      result += '$';
      ++i;
      continue;
    }
    const auto end = text.substr(i).starts_with("$(") ? text.find(')', i) : std::string_view::npos;
    const auto found = end == std::string_view::npos
                           ? env.end()
                           : env.find(std::string(text.substr(i + 2, end - i - 2)));
    if (found == env.end()) {
      result += text[i];
      continue;
    }
    result += found->second;
    i = end;
  }
  return result;
}

std::string field_value(const Pod& pod, const Labels& annotations, const Address& host,
                        const std::string& path) {
  if (path == "metadata.name") return pod.name;
  if (path == "metadata.namespace") return pod.namespace_;
  if (path == "metadata.uid") return pod.uid;
  if (path == "spec.nodeName") return pod.node;
  if (path == "status.hostIP") return host.to_string();
  if (path == "status.podIP" && !pod.addresses.empty()) return pod.addresses[0].to_string();
  if (path == "status.podIPs") {
    std::string all;
    for (const auto& address : pod.addresses) {
      if (!all.empty()) all += ',';
      all += address.to_string();
    }
    return all;
  }
  if (const auto key = subscript(path, "metadata.labels"); !key.empty()) {
    return value_of(pod.labels, key);
  }
  return value_of(annotations, subscript(path, "metadata.annotations"));
}

InitContainer make_container(const Container& container, const Pod& pod, const Labels& annotations,
                             const Address& host, std::string log) {
  const auto env = environment(container, pod, annotations, host);
  InitContainer result{container.name, {}, {}, std::move(log)};
  for (const auto& word : container.command) result.argv.push_back(expand_variables(word, env));
  if (container.command.empty()) result.argv.emplace_back(kServer);
  const bool derived = container.command.empty() && container.args.empty();
  for (const auto& word : derived ? server_arguments(container) : container.args) {
    result.argv.push_back(expand_variables(word, env));
  }
  for (const auto& [name, value] : env) result.env.push_back(name + "=" + value);
  return result;
}

}  // namespace weir::local
