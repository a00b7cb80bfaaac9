// Weir into a cluster, and out of it again. What is applied is deploy/cni.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/agents.h"
#include "cli/kube_options.h"
#include "cli/manifests.h"
#include "cli/say.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

using Json = nlohmann::json;
using Settings = std::map<std::string, std::string>;

struct Options {
  KubeOptions kube;
  std::vector<std::string> settings;
  std::string image;
  std::string wait = "180s";
  bool node_local = false;
  bool dry_run = false;
  Output output = Output::kText;

  // What kubectl says, for people.
  void show(const std::string& text) const {
    if (output == Output::kText) fmt::print("{}", text);
  }
};

// Where the API servers are, without their Service.
Result<std::string> api_servers(const Kubectl& kubectl) {
  WEIR_ASSIGN(const Json list,
              kubectl.get({"endpointslices", "--namespace", "default", "--selector",
                           "kubernetes.io/service-name=kubernetes"}));
  std::set<std::string> urls;
  for (const Json& slice : list.value("items", Json::array())) {
    const bool six = slice.value("addressType", "") == "IPv6";
    for (const Json& endpoint : slice.value("endpoints", Json::array())) {
      const std::string address = endpoint.at("addresses").at(0);
      for (const Json& port : slice.value("ports", Json::array())) {
        urls.insert(fmt::format("https://{}{}{}:{}", six ? "[" : "", address, six ? "]" : "",
                                port.value("port", 443)));
      }
    }
  }
  return fmt::format("{}", fmt::join(urls, " "));
}

// ServiceCIDR objects are of Kubernetes 1.33.
std::string service_cidrs(const Kubectl& kubectl) {
  const auto list = kubectl.get({"servicecidrs"});
  std::set<std::string> out;
  for (const Json& one : list ? list->value("items", Json::array()) : Json::array()) {
    for (const Json& cidr : one.value("/spec/cidrs"_json_pointer, Json::array())) {
      out.insert(cidr.get<std::string>());
    }
  }
  return fmt::format("{}", fmt::join(out, " "));
}

// What an earlier installation had stays; what is asked for now comes before it.
Result<Settings> settings_of(const Options& options) {
  WEIR_ASSIGN(const Json map,
              options.kube.kubectl.get({"configmap", "weir-config", "--namespace", kNamespace}));
  Settings out;
  const Json data = map.value("data", Json::object());
  for (const auto& [key, value] : data.items()) out[key] = value;
  for (const std::string& text : options.settings) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) {
      return Error(Code::kInvalid, fmt::format("--set '{}': NAME=VALUE is needed", text));
    }
    out[text.substr(0, equals)] = text.substr(equals + 1);
    if (equals + 1 == text.size()) out.erase(text.substr(0, equals));
  }
  if (out["api-server"].empty()) {
    WEIR_ASSIGN(out["api-server"], api_servers(options.kube.kubectl));
  }
  if (out["service-cidr"].empty()) out["service-cidr"] = service_cidrs(options.kube.kubectl);
  return out;
}

// What is worth knowing before: none of it is refused.
void look_around(const Kubectl& kubectl, Settings& settings) {
  const auto note = [](std::string_view text) { say("note: {}", text); };
  if (const auto proxy = kubectl.get({"daemonset", "kube-proxy", "--namespace", "kube-system"});
      proxy && !proxy->empty()) {
    note(
        "kube-proxy runs here, and Weir serves Services without it: once Weir is ready, 'kubectl "
        "--namespace kube-system delete daemonset kube-proxy'");
  }
  if (settings["service-cidr"].empty()) {
    note(
        "the range of ClusterIPs is not known; --set service-cidr=RANGE tells it, so that packets "
        "to Services that do not exist are refused");
  }
  std::vector<std::string> bare;
  const auto nodes = kubectl.get({"nodes"});
  for (const Json& node : nodes ? nodes->value("items", Json::array()) : Json::array()) {
    if (!node.at("spec").contains("podCIDRs")) bare.push_back(node.at("metadata").at("name"));
  }
  if (!bare.empty()) {
    note(
        fmt::format("without a pod range (spec.podCIDRs), as kube-controller-manager gives it with "
                    "--allocate-node-cidrs, and not served until they have one: {}",
                    fmt::join(bare, ", ")));
  }
}

Result<std::string> manifest_of(const Options& options) {
  WEIR_ASSIGN(Settings settings, settings_of(options));
  look_around(options.kube.kubectl, settings);
  std::string manifest(kCniManifest);
  for (const auto& [key, value] : settings) {
    WEIR_ASSIGN(manifest, with_setting(std::move(manifest), key, value));
  }
  manifest = with_settings_mark(std::move(manifest), Json(settings).dump());
  if (!options.image.empty()) manifest = with_image(std::move(manifest), options.image);
  if (options.node_local) manifest += fmt::format("---\n{}", kNodeLocalManifest);
  return manifest;
}

Result<void> roll_out(const Options& options, const std::string& daemon_set) {
  const auto waited =
      options.kube.kubectl.ask({"rollout", "status", "--namespace", kNamespace,
                                "daemonset/" + daemon_set, "--timeout", options.wait});
  if (waited) return {};
  return Error(
      Code::kUnavailable,
      fmt::format("not all nodes are ready after {}: 'kubectl --namespace {} describe pods' "
                  "and 'kubectl weir status' tell why",
                  options.wait, kNamespace));
}

Result<void> install(const Options& options) try {
  WEIR_ASSIGN(const std::string manifest, manifest_of(options));
  if (options.dry_run) {
    fmt::print("{}", manifest);
    return {};
  }
  WEIR_ASSIGN(const std::string applied,
              options.kube.kubectl.ask(
                  {"apply", "--server-side", "--force-conflicts", "--filename", "-"}, manifest));
  options.show(applied);
  WEIR_TRY(roll_out(options, "weir-agent"));
  WEIR_ASSIGN(const auto pods, agent_pods(options.kube.kubectl));
  options.show(
      fmt::format("Weir serves {} nodes. 'kubectl weir test' tries the network.\n", pods.size()));
  if (options.output == Output::kJson) {
    Json nodes = Json::array();
    for (const AgentPod& pod : pods) nodes.push_back(pod.node);
    fmt::print("{}\n", Json({{"nodes", nodes}}).dump());
  }
  return {};
} catch (const Json::exception& error) {
  return Error(Code::kInvalid,
               fmt::format("what the API server says is not understood: {}", error.what()));
}

Result<void> remove(const Options& options, std::string_view manifest) {
  WEIR_ASSIGN(const std::string text,
              options.kube.kubectl.ask(
                  {"delete", "--ignore-not-found", "--wait", "--filename", "-"}, manifest));
  options.show(text);
  return {};
}

// The agents first: they would put all back. Then each node, then what is left of both.
Result<void> uninstall(const Options& options) {
  const Kubectl& kubectl = options.kube.kubectl;
  std::string removal(kRemoveManifest);
  if (!options.image.empty()) removal = with_image(std::move(removal), options.image);
  const auto gone = kubectl.ask({"delete", "daemonset", "weir-agent", "--namespace", kNamespace,
                                 "--ignore-not-found", "--cascade=foreground", "--wait"});
  if (!gone) return gone.error();
  const auto applied = kubectl.ask({"apply", "--filename", "-"}, removal);
  if (!applied) return applied.error();
  WEIR_TRY(roll_out(options, "weir-remove"));
  WEIR_TRY(remove(options, kNodeLocalManifest));
  WEIR_TRY(remove(options, removal));
  WEIR_TRY(remove(options, kCniManifest));
  options.show(
      "Weir is removed from all nodes. Pods that it gave a network have none now: they are to be "
      "made anew.\n");
  if (options.output == Output::kJson) fmt::print("{}\n", Json({{"removed", true}}).dump());
  return {};
}

int finish(const Result<void>& done) { return done ? kOk : fail(done.error()); }

}  // namespace

void add_install(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("install", "Install or upgrade Weir in a Kubernetes cluster");
  verb.option("--set", options->settings,
              "A setting of the agents (repeatable; 'weir-agent --help' tells them); NAME= is the "
              "manifest's")
      .placeholder("NAME=VALUE")
      .option("--image", options->image, "Where the image is, without the tag")
      .placeholder("IMAGE")
      .flag("--node-local", options->node_local, "With the DNS cache of each node, too")
      .flag("--dry-run", options->dry_run, "Print the manifest, do nothing")
      .option("--wait", options->wait, "How long until all nodes are to be ready")
      .placeholder("TIME");
  options->kube.add_to(verb);
  verb.output(options->output)
      .examples(
          "kubectl weir install\n"
          "kubectl weir install --set api-server=https://10.0.0.10:6443 --set tunnel=false\n"
          "kubectl weir install --dry-run >weir.yaml")
      .run([options] { return finish(install(*options)); });
}

void add_uninstall(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb =
      program.verb("uninstall", "Take Weir from a Kubernetes cluster, and from each of its nodes");
  verb.option("--image", options->image, "Where the image is, without the tag")
      .placeholder("IMAGE")
      .option("--wait", options->wait, "How long the nodes may take")
      .placeholder("TIME");
  options->kube.add_to(verb);
  verb.output(options->output)
      .examples(
          "kubectl weir uninstall\n"
          "kubectl weir uninstall --wait 10m")
      .run([options] { return finish(uninstall(*options)); });
}

}  // namespace weir::cli
