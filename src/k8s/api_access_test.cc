#include "k8s/api_access.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace weir {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCaData = "Y2E=";  // "ca"

std::string kubeconfig(std::string_view cluster, std::string_view user) {
  return fmt::format(R"(apiVersion: v1
kind: Config
current-context: here
contexts:
- {{name: there, context: {{cluster: other, user: other}}}}
- {{name: here, context: {{cluster: c, user: u, namespace: shop}}}}
clusters:
- {{name: other, cluster: {{server: "https://192.0.2.9"}}}}
- {{name: c, cluster: {{{}}}}}
users:
- {{name: other, user: {{token: other}}}}
- {{name: u, user: {{{}}}}}
)",
                     cluster, user);
}

std::string good_cluster() {
  return fmt::format(R"(server: "https://10.0.0.1:6443", certificate-authority-data: "{}")",
                     kCaData);
}

std::string error_of(const std::string& text) {
  const auto access = parse_kubeconfig(text, "/etc/weir/");
  if (access) return "none";
  EXPECT_EQ(access.error().code(), Code::kInvalid);
  return access.error().text();
}

TEST(ApiAccess, TheCurrentContextOfAKubeconfigIsTaken) {
  const auto access = parse_kubeconfig(kubeconfig(good_cluster(), "token: secret"), "/etc/weir/");
  ASSERT_TRUE(access) << access.error().text();
  EXPECT_THAT(access->servers, ElementsAre("https://10.0.0.1:6443"));
  EXPECT_EQ(access->ca_pem, "ca");
  EXPECT_EQ(access->ca_path, "");
  EXPECT_EQ(access->token, "secret");
  EXPECT_EQ(access->token_path, "");
  EXPECT_EQ(access->server_name, "");
}

TEST(ApiAccess, CredentialsAreFilesOrData) {
  const struct {
    const char* user;
    ApiAccess want;
  } cases[] = {
      {"token: a", {.token = "a"}},
      {"token: 12345", {.token = "12345"}},
      {"tokenFile: /run/token", {.token_path = "/run/token"}},
      {"tokenFile: token", {.token_path = "/etc/weir/token"}},
      {"tokenFile: ../token, token: b", {.token_path = "/etc/weir/../token", .token = "b"}},
      {"client-certificate: /a.crt, client-key: keys/a",
       {.certificate_path = "/a.crt", .key_path = "/etc/weir/keys/a"}},
      {"client-certificate-data: YQ==, client-key-data: YmM=",
       {.certificate_pem = "a", .key_pem = "bc"}},
      {"client-certificate: a.crt, client-key-data: YmM=",
       {.certificate_path = "/etc/weir/a.crt", .key_pem = "bc"}},
      {R"(client-certificate-data: "YW\nJj\n", client-key-data: YmM=)",
       {.certificate_pem = "abc", .key_pem = "bc"}},
      {"exec: null, token: c", {.token = "c"}},
      {"", {}},
  };
  for (const auto& c : cases) {
    const auto access = parse_kubeconfig(kubeconfig(good_cluster(), c.user), "/etc/weir/");
    ASSERT_TRUE(access) << c.user << ": " << access.error().text();
    EXPECT_EQ(access->token, c.want.token) << c.user;
    EXPECT_EQ(access->token_path, c.want.token_path) << c.user;
    EXPECT_EQ(access->certificate_path, c.want.certificate_path) << c.user;
    EXPECT_EQ(access->certificate_pem, c.want.certificate_pem) << c.user;
    EXPECT_EQ(access->key_path, c.want.key_path) << c.user;
    EXPECT_EQ(access->key_pem, c.want.key_pem) << c.user;
  }
}

TEST(ApiAccess, ClustersHaveAuthoritiesAndNames) {
  const auto access = parse_kubeconfig(
      kubeconfig(R"(server: "https://[fd00::1]:6443", certificate-authority: ca.crt,
                    tls-server-name: api.weir.test, insecure-skip-tls-verify: false)",
                 "token: a"),
      "");
  ASSERT_TRUE(access) << access.error().text();
  EXPECT_THAT(access->servers, ElementsAre("https://[fd00::1]:6443"));
  EXPECT_EQ(access->ca_path, "ca.crt");
  EXPECT_EQ(access->ca_pem, "");
  EXPECT_EQ(access->server_name, "api.weir.test");
}

TEST(ApiAccess, WhatIsNotDoneIsRefusedByItsName) {
  const struct {
    const char* user;
    const char* why;
  } users[] = {
      {"exec: {command: aws}", "user 'u': exec: is not served here; use a token"},
      {"auth-provider: {name: gcp}", "auth-provider: is not served here"},
      {"username: admin, password: x", "username: is not served here"},
      {"password: x", "password: is not served here"},
      {"token: a, as: admin", "as: is not served here"},
      {"token: a, as-groups: [b]", "as-groups: is not served here"},
  };
  for (const auto& c : users) {
    EXPECT_THAT(error_of(kubeconfig(good_cluster(), c.user)), HasSubstr(c.why)) << c.user;
  }
  const std::string server = R"(server: "https://10.0.0.1", )";
  for (const char* yes : {"true", "True", "TRUE", "yes", "on"}) {
    EXPECT_THAT(error_of(kubeconfig(server + "insecure-skip-tls-verify: " + yes, "token: a")),
                HasSubstr("cluster 'c': insecure-skip-tls-verify: Weir verifies each server"));
  }
  EXPECT_THAT(error_of(kubeconfig(server + R"(proxy-url: "http://p")", "token: a")),
              HasSubstr("proxy-url: is not served here"));
}

TEST(ApiAccess, WrongFieldsAreNamed) {
  const struct {
    std::string cluster;
    const char* user;
    const char* why;
  } cases[] = {
      {"", "token: a", "cluster 'c': server: is missing"},
      {"server: []", "token: a", "server: is missing"},
      {R"(server: "http://10.0.0.1")", "token: a", "begins with https://"},
      {R"(server: "https://")", "token: a", "has no host"},
      {R"(server: "https://10.0.0.1/api")", "token: a", "must be https://HOST"},
      {R"(server: "https://a@10.0.0.1")", "token: a", "must be https://HOST"},
      {R"(server: "https://a", tls-server-name: "b/c")", "token: a", "tls-server-name: must be"},
      {R"(server: "https://a", certificate-authority-data: "&&&&")", "token: a",
       "certificate-authority-data: is not base64"},
      {R"(server: "https://a", certificate-authority-data: "Y2E")", "token: a",
       "certificate-authority-data: is not base64"},
      {R"(server: "https://a", certificate-authority-data: "Y2E=Y2E=")", "token: a",
       "certificate-authority-data: is not base64"},
      {R"(server: "https://a", certificate-authority-data: "Y===")", "token: a",
       "certificate-authority-data: is not base64"},
      {good_cluster(), "client-key-data: YQ, client-certificate-data: YQ==",
       "user 'u': client-key-data: is not base64"},
      {good_cluster(), "client-certificate: a.crt", "client-key: is missing"},
      {good_cluster(), "client-key-data: YQ==", "client-certificate: is missing"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(error_of(kubeconfig(c.cluster, c.user)), HasSubstr(c.why)) << c.cluster << c.user;
  }
}

TEST(ApiAccess, WhatIsNoKubeconfigIsRefused) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {
      {"", "is not a kubeconfig"},
      {"[]", "is not a kubeconfig"},
      {"text", "is not a kubeconfig"},
      {"{", "end of map"},
      {"{}", "current-context: '' is not among the contexts"},
      {"{current-context: a, contexts: {name: a}}", "'a' is not among"},
      {"{current-context: a, contexts: text}", "'a' is not among"},
      {"{current-context: a, contexts: [text, 5, null, [a]]}", "'a' is not among"},
      {"{current-context: [a], contexts: [{name: a}]}", "'' is not among"},
      {"{current-context: a, contexts: [{name: a}]}", "no cluster ''"},
      {"{current-context: a, contexts: [{name: a, context: text}]}", "no cluster ''"},
      {"{current-context: a, contexts: [{name: a, context: {cluster: b}}]}", "no cluster 'b'"},
      {"{current-context: a, contexts: [{name: a, context: {cluster: b}}], clusters: [{name: b}]}",
       "cluster 'b': server: is missing"},
      {"{current-context: a, contexts: [{name: a, context: {cluster: b, user: d}}], clusters: "
       "[{name: b, cluster: {server: 'https://c'}}]}",
       "no user 'd'"},
  };
  for (const auto& c : cases) EXPECT_THAT(error_of(c.text), HasSubstr(c.why)) << c.text;
}

// A folder, and the environment as a pod has it.
class ApiAccessOfPod : public ::testing::Test {
 protected:
  ApiAccessOfPod() {
    std::string name = (fs::temp_directory_path() / "weir-account-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~ApiAccessOfPod() override {
    fs::remove_all(folder_);
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
  }
  void have_token() const { std::ofstream(folder_ / "token") << "secret"; }
  static void have_service(const char* host, const char* port) {
    setenv("KUBERNETES_SERVICE_HOST", host, 1);
    setenv("KUBERNETES_SERVICE_PORT", port, 1);
  }

  fs::path folder_;
};

TEST_F(ApiAccessOfPod, AServiceAccountIsItsFilesAndTheServiceOfTheEnvironment) {
  have_token();
  have_service("10.96.0.1", "443");
  auto access = access_of_pod(folder_);
  ASSERT_TRUE(access) << access.error().text();
  EXPECT_THAT(access->servers, ElementsAre("https://10.96.0.1:443"));
  EXPECT_EQ(access->token_path, folder_ / "token");
  EXPECT_EQ(access->ca_path, folder_ / "ca.crt");
  have_service("fd00:96::1", "");
  access = access_of_pod(folder_);
  ASSERT_TRUE(access);
  EXPECT_THAT(access->servers, ElementsAre("https://[fd00:96::1]:443"));
}

TEST_F(ApiAccessOfPod, WithoutAServiceThereIsNoServer) {
  have_token();
  const auto access = access_of_pod(folder_);
  ASSERT_TRUE(access);
  EXPECT_THAT(access->servers, IsEmpty());
}

TEST_F(ApiAccessOfPod, OutsideOfAPodItSaysWhatToGive) {
  have_service("10.96.0.1", "443");
  const auto access = access_of_pod(folder_);
  ASSERT_FALSE(access);
  EXPECT_EQ(access.error().code(), Code::kNotFound);
  EXPECT_THAT(access.error().text(), HasSubstr("give --kubeconfig"));
}

TEST_F(ApiAccessOfPod, AKubeconfigIsReadWithPathsOfItsFolder) {
  std::ofstream(folder_ / "config") << kubeconfig(good_cluster(), "tokenFile: token");
  const auto access = read_kubeconfig(folder_ / "config");
  ASSERT_TRUE(access) << access.error().text();
  EXPECT_EQ(access->token_path, folder_ / "token");
  std::ofstream(folder_ / "config") << "{}";
  EXPECT_THAT(read_kubeconfig(folder_ / "config").error().text(),
              HasSubstr((folder_ / "config").string() + ": current-context"));
  EXPECT_EQ(read_kubeconfig(folder_ / "none").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace weir
