#include "k8s/api_access.h"

#include <fmt/format.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <initializer_list>

#include "base/address.h"
#include "sys/files.h"

namespace weir {
namespace {

constexpr std::string_view kScheme = "https://";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A member of a map; of anything else: nothing.
YAML::Node member(const YAML::Node& node, const char* name) {
  if (!node.IsDefined() || !node.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
  return node[name];
}

std::string text_of(const YAML::Node& map, const char* name) {
  const YAML::Node node = member(map, name);
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : "";
}

// The member of the list `what` with this name, or nothing.
YAML::Node named(const YAML::Node& root, const char* what, const std::string& name) {
  const YAML::Node list = member(root, what);
  if (!list.IsDefined() || !list.IsSequence()) return YAML::Node(YAML::NodeType::Undefined);
  for (const auto& item : list) {
    if (text_of(item, "name") == name) return item;
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

// What is said about a cluster or user, but would not be done.
Result<void> refuse(const YAML::Node& map, std::initializer_list<const char*> fields,
                    std::string_view why) {
  for (const char* field : fields) {
    const YAML::Node found = member(map, field);
    if (!found.IsDefined() || found.IsNull()) continue;
    return Error(Code::kInvalid, fmt::format("{}: {}", field, why));
  }
  return {};
}

std::string path_of(const YAML::Node& map, const char* field, const std::string& folder) {
  const std::string path = text_of(map, field);
  return path.empty() || path.starts_with('/') ? path : folder + path;
}

// As Go reads it: padded, with line ends anywhere. yaml-cpp's reader takes less for more.
bool is_base64(std::string text) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
  const std::size_t padded = text.size() - std::min(text.find('='), text.size());
  const auto is_digit = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '/' || c == '=';
  };
  return text.size() % 4 == 0 && padded <= 2 &&
         std::ranges::all_of(text.substr(text.size() - padded), [](char c) { return c == '='; }) &&
         std::ranges::all_of(text, is_digit);
}

Result<std::string> decoded(const YAML::Node& map, const char* field) {
  const std::string text = text_of(map, field);
  if (!is_base64(text)) return Error(Code::kInvalid, fmt::format("{}: is not base64", field));
  const auto bytes = YAML::DecodeBase64(text);
  return std::string(bytes.begin(), bytes.end());
}

Result<void> take_cluster(const YAML::Node& cluster, const std::string& folder, ApiAccess& out) {
  const std::string server = text_of(cluster, "server");
  if (server.empty()) return Error(Code::kInvalid, "server: is missing");
  if (auto good = check_server_url(server); !good) return good.error().within("server");
  const YAML::Node insecure = member(cluster, "insecure-skip-tls-verify");
  if (insecure.IsDefined() && insecure.as<bool>(false)) {
    return Error(Code::kInvalid,
                 "insecure-skip-tls-verify: Weir verifies each server; give its "
                 "certificate-authority instead");
  }
  WEIR_TRY(refuse(cluster, {"proxy-url"}, "is not served here"));
  out.servers = {server};
  out.ca_path = path_of(cluster, "certificate-authority", folder);
  WEIR_ASSIGN(out.ca_pem, decoded(cluster, "certificate-authority-data"));
  out.server_name = text_of(cluster, "tls-server-name");
  if (out.server_name.empty()) return {};
  if (check_server_url("https://" + out.server_name)) return {};
  return Error(Code::kInvalid, "tls-server-name: must be a host's name");
}

Result<void> take_user(const YAML::Node& user, const std::string& folder, ApiAccess& out) {
  WEIR_TRY(refuse(user, {"exec", "auth-provider", "username", "password"},
                  "is not served here; use a token, a tokenFile or a client certificate"));
  WEIR_TRY(refuse(user, {"as", "as-uid", "as-groups", "as-user-extra"},
                  "is not served here: give what the agent is to be itself"));
  out.token = text_of(user, "token");
  out.token_path = path_of(user, "tokenFile", folder);
  out.certificate_path = path_of(user, "client-certificate", folder);
  out.key_path = path_of(user, "client-key", folder);
  WEIR_ASSIGN(out.certificate_pem, decoded(user, "client-certificate-data"));
  WEIR_ASSIGN(out.key_pem, decoded(user, "client-key-data"));
  const bool has_certificate = !out.certificate_path.empty() || !out.certificate_pem.empty();
  const bool has_key = !out.key_path.empty() || !out.key_pem.empty();
  if (has_certificate == has_key) return {};
  return Error(Code::kInvalid, has_key ? "client-certificate: is missing beside its key"
                                       : "client-key: is missing beside its certificate");
}

Result<ApiAccess> take(const YAML::Node& root, const std::string& folder) {
  if (!root.IsMap()) return Error(Code::kInvalid, "is not a kubeconfig");
  const std::string current = text_of(root, "current-context");
  const YAML::Node context = named(root, "contexts", current);
  if (!context) {
    return Error(Code::kInvalid,
                 fmt::format("current-context: '{}' is not among the contexts", current));
  }
  const std::string cluster_name = text_of(member(context, "context"), "cluster");
  const std::string user_name = text_of(member(context, "context"), "user");
  const YAML::Node cluster = named(root, "clusters", cluster_name);
  if (!cluster) return Error(Code::kInvalid, fmt::format("no cluster '{}'", cluster_name));
  ApiAccess out;
  if (auto taken = take_cluster(member(cluster, "cluster"), folder, out); !taken) {
    return taken.error().within(fmt::format("cluster '{}'", cluster_name));
  }
  const YAML::Node user = named(root, "users", user_name);
  if (!user) return Error(Code::kInvalid, fmt::format("no user '{}'", user_name));
  if (auto taken = take_user(member(user, "user"), folder, out); !taken) {
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

Result<ApiAccess> parse_kubeconfig(std::string_view text, const std::string& folder) {
  try {
    return take(YAML::Load(std::string(text)), folder);
  } catch (const YAML::Exception& error) {
    return Error(Code::kInvalid, error.what());
  }
}

Result<ApiAccess> read_kubeconfig(const std::string& path) {
  WEIR_ASSIGN(const std::string text, read_file(path));
  auto out = parse_kubeconfig(text, path.substr(0, path.rfind('/') + 1));
  if (!out) return out.error().within(path);
  return out;
}

}  // namespace weir
