#include "agent/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "agent/config_folder.h"
#include "base/version.h"
#include "k8s/api_access.h"

namespace weir {
namespace {

std::string flag_of(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

void add_cidrs(CLI::App& app, const std::string& flag, std::vector<Cidr>& into,
               const std::string& help) {
  app.add_option_function<std::vector<std::string>>(
      flag,
      [&into, flag](const std::vector<std::string>& texts) {
        for (const auto& text : texts) {
          const auto cidr = Cidr::parse(text);
          if (!cidr) throw CLI::ValidationError(flag, cidr.error().text());
          into.push_back(*cidr);
        }
      },
      help);
}

void add_sysctls(CLI::App& app, std::vector<Sysctl>& into) {
  app.add_option_function<std::vector<std::string>>(
      "--sysctl",
      [&into](const std::vector<std::string>& texts) {
        for (const auto& text : texts) {
          auto one = parse_sysctl(text);
          if (!one) throw CLI::ValidationError("--sysctl", one.error().text());
          into.push_back(std::move(*one));
        }
      },
      "NAME=VALUE of the node, below net. (repeatable): what it was comes back when it is not "
      "wanted "
      "any more");
}

void add_settings(CLI::App& app, Settings& settings) {
  // Switches are bytes in the kernel's struct; here they take true and false.
  const auto add = [&app]<typename T>(const char* kind, const char* name, T& value,
                                      const char* help) {
    auto* option =
        app.add_option(flag_of(name), value, help)->group("Settings")->capture_default_str();
    if (std::string_view(kind) == "bool") {
      option->transform([](std::string text) {
        if (text == "true" || text == "on") return std::string("1");
        if (text == "false" || text == "off") return std::string("0");
        return text;
      });
      option->check(CLI::IsMember({"0", "1"}));
    }
  };
  // One byte would be read as a character.
  static std::vector<std::pair<weir_setting_u32, weir_setting_bool*>> switches;
  switches.reserve(64);
#define WEIR_SETTING(type, name, def, help)                                                     \
  if constexpr (sizeof(settings.name) == 1) {                                                   \
    switches.emplace_back(settings.name, reinterpret_cast<weir_setting_bool*>(&settings.name)); \
    add(#type, #name, switches.back().first, help);                                             \
  } else {                                                                                      \
    add(#type, #name, settings.name, help);                                                     \
  }
#include "abi/settings.def"
#undef WEIR_SETTING
  app.final_callback([] {
    for (const auto& [value, target] : switches) *target = static_cast<weir_setting_bool>(value);
  });
}

// As Kubernetes has it: a DNS subdomain.
std::string check_node_name(const std::string& name) {
  constexpr std::size_t kMost = 253;
  const bool is_good =
      name.size() <= kMost && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
      });
  return is_good ? "" : "no name of a Node: lower-case letters, digits, '-' and '.'";
}

void add_source(CLI::App& app, AgentOptions& options) {
  auto* objects =
      app.add_option("--objects", options.objects,
                     "directory of Kubernetes objects to watch, instead of an API server");
  app.add_option("--kubeconfig", options.kubeconfig,
                 "who asks the API server; default: this pod's service account")
      ->excludes(objects);
  app.add_option(
         "--api-server", options.api_servers,
         "URL of an API server, tried before others (repeatable): before Services work, its "
         "Service does not")
      ->check([](const std::string& url) {
        const auto good = check_server_url(url);
        return good ? std::string() : good.error().text();
      })
      ->excludes(objects);
  app.add_option("--pod-endpoints", options.pod_endpoints,
                 "tell other nodes of pods, and hear of theirs, by PodEndpoints; false: watch all "
                 "Pods of the cluster")
      ->capture_default_str();
}

void add_options(CLI::App& app, AgentOptions& options) {
  app.add_option("--node", options.node, "name of this node, as in its Node object")
      ->check(check_node_name)
      ->envname("NODE_NAME");
  app.add_option("--run-dir", options.run_dir, "sockets")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "records of pods")->capture_default_str();
  app.add_option("--bpffs", options.bpffs, "directory on a BPF file system for pins")
      ->capture_default_str();
  add_source(app, options);
  app.add_option("--cni-conf-dir", options.cni_conf_dir,
                 "where container runtimes look for networks: this one is written there when pods "
                 "can be served");
  auto* remove = app.add_flag("--remove", options.remove,
                              "take from this node what an agent has put there, and end");
  app.add_option("--cni-bin-dir", options.cni_bin_dir, "where the plugin is removed from")
      ->needs(remove);
  app.add_flag("--idle", options.idle, "do nothing but wait for a signal")->group("");
  app.add_option("--device", options.devices,
                 "link to other machines (repeatable); default: all with a default route");
  add_cidrs(app, "--service-cidr", options.service_cidrs,
            "range of the cluster's ClusterIPs (repeatable)");
  add_cidrs(app, "--non-masquerade-cidr", options.non_masquerade_cidrs,
            "destinations outside that pods speak to with their own addresses (repeatable)");
  add_sysctls(app, options.sysctls);
  app.add_option("--cgroup", options.cgroup,
                 "cgroup v2 folder of the processes whose sockets are served; default: all");
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  add_settings(app, options.settings);
}

// What a folder may hold: all but where it is itself, and whose agent this is.
std::vector<std::string> setting_names(const CLI::App& app) {
  constexpr std::string_view kNever[] = {"help",   "version",     "config", "node",
                                         "remove", "cni-bin-dir", "idle"};
  std::vector<std::string> out;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (std::ranges::find(kNever, name) == std::end(kNever)) out.push_back(name);
    }
  }
  return out;
}

bool is_given(const std::string& argument, const std::vector<std::string>& given) {
  const std::string flag = argument.substr(0, argument.find('='));
  return std::ranges::any_of(given, [&flag](const std::string& one) {
    return one == flag || one.starts_with(flag + "=");
  });
}

// The command line, and what it leaves open from the folder that it names.
Result<std::vector<std::string>> all_arguments(const CLI::App& app, int argc, char** argv,
                                               AgentOptions& options) {
  std::vector<std::string> given(argv + 1, argv + argc);
  std::string& folder = options.config;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] == "--config" && i + 1 < given.size()) folder = given[i + 1];
    if (given[i].starts_with("--config=")) folder = given[i].substr(sizeof "--config=" - 1);
  }
  if (folder.empty()) return given;
  auto read = read_config_folder(folder, setting_names(app));
  if (!read) return read.error().within("--config");
  options.config_arguments = *read;
  WEIR_ASSIGN(options.config_text, config_folder_text(folder));
  std::vector<std::string> out = given;
  for (const std::string& argument : *read) {
    if (!is_given(argument, given)) out.push_back(argument);
  }
  return out;
}

}  // namespace

AgentOptions parse_agent_options(int argc, char** argv, const OnRefused& refused) {
  AgentOptions options;
  std::string folder;  // read by all_arguments
  CLI::App app{
      "Weir's agent: the network of one node. Serves CNI, keeps the BPF programs' tables equal to "
      "the\n"
      "cluster's objects, tells what flows.",
      "weir-agent"};
  app.set_version_flag("--version", fmt::format("weir-agent {}", kVersion));
  app.add_option("--config", folder,
                 "folder with a file for each setting, named as its flag; flags given here win");
  add_options(app, options);
  auto arguments = all_arguments(app, argc, argv, options);
  if (!arguments) {
    std::cerr << arguments.error().text() << '\n';
    refused(options, arguments.error().text());
    std::exit(2);
  }
  std::ranges::reverse(*arguments);  // as CLI11 wants them
  try {
    app.parse(*arguments);
    if (options.node.empty() && !options.remove && !options.idle)
      throw CLI::RequiredError("--node");
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) == 0) std::exit(0);
    refused(options, error.what());
    std::exit(2);
  }
  return options;
}

Result<void> check_settings_are_current(const AgentOptions& options) {
  if (options.config.empty()) return {};
  // Unreadable for a moment, it has not changed.
  const auto now = config_folder_text(options.config);
  if (!now || *now == options.config_text) return {};
  return Error(Code::kUnavailable,
               fmt::format("--config {}: the settings have changed", options.config));
}

}  // namespace weir
