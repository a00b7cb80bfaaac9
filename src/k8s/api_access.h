#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

// Where an API server is, and who asks. Of each pair of a path and a text one is used; the files
// are read again for each request or connection, for they are renewed while the program runs.
struct ApiAccess {
  std::vector<std::string> servers{};  // "https://10.0.0.1:6443": tried in this order
  std::string ca_path{};
  std::string ca_pem{};
  std::string token_path{};
  std::string token{};
  std::string certificate_path{};
  std::string certificate_pem{};
  std::string key_path{};
  std::string key_pem{};
  std::string server_name{};  // in the server's certificate; empty: the host of the URL
};

// https://HOST[:PORT], without a path: the Error says what is wrong.
Result<void> check_server_url(std::string_view url);

// Of a pod: its service account below `folder`, and the Service of the environment's
// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. kNotFound: this is no pod.
Result<ApiAccess> access_of_pod(
    const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

// Of a kubeconfig's current context. kInvalid: names the field, also for what Weir does not do:
// servers that are not verified, plugins, passwords.
Result<ApiAccess> read_kubeconfig(const std::string& path);
// Its text; paths in it are relative to `folder`, which is empty or ends in '/'.
Result<ApiAccess> parse_kubeconfig(std::string_view text, const std::string& folder);

}  // namespace weir
