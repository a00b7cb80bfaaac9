#include "k8s/api_access.h"

#include <fmt/format.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>

#include "base/address.h"
#include "sys/files.h"

namespace weir {
namespace {

constexpr std::string_view kScheme = "https://";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string text_of(const YAML::Node& node) {
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : "";
}

// The member of the list `what` with this name, or nothing.
YAML::Node named(const YAML::Node& root, const char* what, const std::string& name) {
  for (const auto& item : root[what]) {
    if (text_of(item["name"]) == name) return item;
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

// Paths in a kubeconfig are relative to its folder.
std::string path_of(const YAML::Node& node, const std::string& folder) {
  const std::string path = text_of(node);
  return path.empty() || path.starts_with('/') ? path : folder + path;
}

Result<std::string> decoded(const YAML::Node& map, const char* field) {
  const std::string text = text_of(map[field]);
  const auto bytes = YAML::DecodeBase64(text);
  if (!text.empty() && bytes.empty()) {
    return Error(Code::kInvalid, fmt::format("{}: is not base64", field));
  }
  return std::string(bytes.begin(), bytes.end());
}

Result<void> take_cluster(const YAML::Node& cluster, const std::string& folder, ApiAccess& out) {
  const std::string server = text_of(cluster["server"]);
  if (server.empty()) return Error(Code::kInvalid, "server: is missing");
  if (auto good = check_server_url(server); !good) return good.error().within("server");
  if (text_of(cluster["insecure-skip-tls-verify"]) == "true") {
    return Error(Code::kInvalid,
                 "insecure-skip-tls-verify: Weir verifies each server; give its "
                 "certificate-authority instead");
  }
  out.servers = {server};
  out.ca_path = path_of(cluster["certificate-authority"], folder);
  out.server_name = text_of(cluster["tls-server-name"]);
  WEIR_ASSIGN(out.ca_pem, decoded(cluster, "certificate-authority-data"));
  return {};
}

Result<void> take_user(const YAML::Node& user, const std::string& folder, ApiAccess& out) {
  for (const char* field : {"exec", "auth-provider", "username", "password"}) {
    if (!user[field]) continue;
    return Error(Code::kInvalid,
                 fmt::format("{}: is not served here; use a token, a tokenFile or a client "
                             "certificate",
                             field));
  }
  out.token = text_of(user["token"]);
  out.token_path = path_of(user["tokenFile"], folder);
  out.certificate_path = path_of(user["client-certificate"], folder);
  out.key_path = path_of(user["client-key"], folder);
  WEIR_ASSIGN(out.certificate_pem, decoded(user, "client-certificate-data"));
  WEIR_ASSIGN(out.key_pem, decoded(user, "client-key-data"));
  return {};
}

Result<ApiAccess> take(const YAML::Node& root, const std::string& folder) {
  if (!root.IsMap()) return Error(Code::kInvalid, "is not a kubeconfig");
  const std::string current = text_of(root["current-context"]);
  const YAML::Node context = named(root, "contexts", current);
  if (!context) {
    return Error(Code::kInvalid,
                 fmt::format("current-context: '{}' is not among the contexts", current));
  }
  const std::string cluster_name = text_of(context["context"]["cluster"]);
  const std::string user_name = text_of(context["context"]["user"]);
  const YAML::Node cluster = named(root, "clusters", cluster_name);
  if (!cluster) return Error(Code::kInvalid, fmt::format("no cluster '{}'", cluster_name));
  ApiAccess out;
  if (auto taken = take_cluster(cluster["cluster"], folder, out); !taken) {
    return taken.error().within(fmt::format("cluster '{}'", cluster_name));
  }
  const YAML::Node user = named(root, "users", user_name);
  if (!user) return Error(Code::kInvalid, fmt::format("no user '{}'", user_name));
  if (auto taken = take_user(user["user"], folder, out); !taken) {
    return taken.error().within(fmt::format("user '{}'", user_name));
  }
  return out;
}

}  // namespace

Result<void> check_server_url(std::string_view url) {
  const auto wrong = [url](std::string_view why) {
    return Error(Code::kInvalid, fmt::format("'{}': {}", url, why));
  };
  if (!url.starts_with(kScheme)) return wrong("an API server's URL begins with https://");
  const std::string_view rest = url.substr(kScheme.size());
  if (rest.empty()) return wrong("has no host");
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) {
    return wrong("must be https://HOST or https://HOST:PORT");
  }
  return {};
}

Result<ApiAccess> access_of_pod(const std::string& folder) {
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (access((folder + "/token").c_str(), R_OK) != 0) {
    return Error(Code::kNotFound,
                 fmt::format("{}/token: no service account is mounted here: outside of a pod, give "
                             "--kubeconfig",
                             folder));
  }
  ApiAccess out;
  out.ca_path = folder + "/ca.crt";
  out.token_path = folder + "/token";
  if (host.empty()) return out;
  const std::string shown = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  out.servers.push_back(fmt::format("https://{}:{}", shown, port.empty() ? "443" : port));
  return out;
}

Result<ApiAccess> read_kubeconfig(const std::string& path) {
  WEIR_ASSIGN(const std::string text, read_file(path));
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  try {
    auto out = take(YAML::Load(text), folder);
    if (!out) return out.error().within(path);
    return out;
  } catch (const YAML::Exception& error) {
    return Error(Code::kInvalid, fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace weir
