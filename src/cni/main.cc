// weir-cni: takes a call of a container runtime (environment and stdin), has the agent do it over
// RUN/cni.sock, and prints what it answers. With the agent away, DEL is kept for its next start.
//
//   weir-cni install DIR    puts itself into a runtime's folder of plugins
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "cni/agent_call.h"
#include "cni/install.h"
#include "cni/report.h"
#include "cni/stdin_document.h"
#include "sandbox/cni_rules.h"

namespace weir::cni {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string_view environment_fault(const std::string& command) {
  if (command == "GC" || command == "STATUS") return {};
  if (command != "ADD" && command != "DEL" && command != "CHECK") {
    return command.empty() ? "CNI_COMMAND is missing" : "CNI_COMMAND is unknown";
  }
  if (auto fault = container_id_fault(environment("CNI_CONTAINERID")); !fault.empty()) return fault;
  if (auto fault = ifname_fault(environment("CNI_IFNAME")); !fault.empty()) return fault;
  return command == "DEL" ? std::string_view() : netns_fault(environment("CNI_NETNS"));
}

std::string request_document(const std::string& command, const std::string& config) {
  std::string document = "{\"command\":";
  document += quoted(command);
  for (const auto& [key, variable] : {std::pair("containerID", "CNI_CONTAINERID"),
                                      {"netns", "CNI_NETNS"},
                                      {"ifname", "CNI_IFNAME"},
                                      {"args", "CNI_ARGS"},
                                      {"path", "CNI_PATH"}}) {
    document += ",\"";
    document += key;
    document += "\":";
    document += quoted(environment(variable));
  }
  document += ",\"config\":";
  document += config;
  document += '}';
  return document;
}

int print_versions(const std::string& version) {
  std::string document = "{\"cniVersion\":";
  document += quoted(version);
  document += ",\"supportedVersions\":";
  char separator = '[';
  for (const auto one : kVersions) {
    document += separator;
    document += quoted(one);
    separator = ',';
  }
  document += "]}";
  return report_result(document);
}

int agent_away(const std::string& command, const Configuration& config, const std::string& request,
               const std::string& why) {
  if (command == "DEL") {
    const auto fault = spool_request(config.state_dir, request);
    if (fault.empty()) return 0;
    return report_error(config.version, kTryAgainLater,
                        "weir-agent is away (" + why + ") and DEL cannot be kept: " + fault);
  }
  return report_error(config.version, command == "STATUS" ? kUnavailable : kTryAgainLater,
                      "weir-agent is away: " + why);
}

// `answer` is what sandbox/ composed: {"result":R} or {"error":E}. ADD prints R, an error prints E.
int print_answer(const std::string& command, const Configuration& config, std::string_view answer) {
  constexpr std::string_view kResult = R"({"result":)";
  constexpr std::string_view kError = R"({"error":)";
  const bool failed = answer.starts_with(kError);
  if ((!failed && !answer.starts_with(kResult)) || !answer.ends_with('}')) {
    return report_error(config.version, kDecodingFailure, "weir-agent's answer is malformed");
  }
  answer.remove_prefix(failed ? kError.size() : kResult.size());
  answer.remove_suffix(1);
  if (!failed && command != "ADD") return 0;
  return report_result(answer) != 0 || failed ? 1 : 0;
}

int run() {
  const auto command = environment("CNI_COMMAND");
  const auto config = parse_configuration(read_stdin());
  if (command == "VERSION") return print_versions(config.version);
  if (config.fault_code != 0) {
    return report_error(config.version, config.fault_code, config.fault);
  }
  if (const auto fault = environment_fault(command); !fault.empty()) {
    return report_error(config.version, kInvalidEnvironment, fault);
  }
  const auto request = request_document(command, config.text);
  const auto reply = call_agent(config.run_dir, request);
  if (reply.document.empty()) return agent_away(command, config, request, reply.fault);
  return print_answer(command, config, reply.document);
}

// Runtimes give no arguments.
int run_by_hand(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "install") {
    std::fputs(
        "usage: weir-cni install DIR\nAll else is for container runtimes: see the CNI "
        "specification.\n",
        stderr);
    return 2;
  }
  const std::string fault = install(argv[2]);
  if (!fault.empty()) std::fprintf(stderr, "weir-cni: install: %s\n", fault.c_str());
  return fault.empty() ? 0 : 1;
}

}  // namespace
}  // namespace weir::cni

int main(int argc, char** argv) {
  return argc > 1 ? weir::cni::run_by_hand(argc, argv) : weir::cni::run();
}
