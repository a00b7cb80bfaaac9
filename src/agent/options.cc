#include "agent/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

namespace weir {
namespace {

std::string flag_of(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

Cidr cidr_of(const std::string& text) {
  const auto cidr = Cidr::parse(text);
  if (!cidr) throw CLI::ValidationError("--service-cidr", cidr.error().text());
  return *cidr;
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

}  // namespace

AgentOptions parse_agent_options(int argc, char** argv) {
  AgentOptions options;
  CLI::App app{
      "Weir's agent: the network of one node. Serves CNI, keeps the BPF programs' tables equal to "
      "the\n"
      "cluster's objects, tells what flows.",
      "weir-agent"};
  app.add_option("--node", options.node, "name of this node, as in its Node object")->required();
  app.add_option("--run-dir", options.run_dir, "sockets")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "records of pods")->capture_default_str();
  app.add_option("--bpffs", options.bpffs, "directory on a BPF file system for pins")
      ->capture_default_str();
  app.add_option("--objects", options.objects, "directory of Kubernetes objects to watch")
      ->required();
  app.add_option("--device", options.devices,
                 "link to other machines (repeatable); default: all with a default route");
  app.add_option_function<std::vector<std::string>>(
      "--service-cidr",
      [&options](const std::vector<std::string>& texts) {
        for (const auto& text : texts) options.service_cidrs.push_back(cidr_of(text));
      },
      "range of the cluster's ClusterIPs (repeatable)");
  app.add_option("--cgroup", options.cgroup,
                 "cgroup v2 folder of the processes whose sockets are served; default: all");
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  add_settings(app, options.settings);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  return options;
}

}  // namespace weir
