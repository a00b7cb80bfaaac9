// `weir sysdump`: what somebody needs who is to find a fault from elsewhere, in one archive.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/agents.h"
#include "cli/kube_options.h"
#include "cli/redact.h"
#include "cli/say.h"
#include "cli/verbs.h"

namespace weir::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Options {
  KubeOptions kube;
  std::string path;
  Output output = Output::kText;
};

// Never Secrets, nor other ConfigMaps than Weir's own.
const std::vector<std::vector<std::string>> kObjects = {
    {"nodes"},
    {"namespaces"},
    {"pods", "--all-namespaces"},
    {"services", "--all-namespaces"},
    {"endpointslices", "--all-namespaces"},
    {"podendpoints", "--all-namespaces"},
    {"networkpolicies", "--all-namespaces"},
    {"daemonsets", "--all-namespaces"},
    {"events", "--all-namespaces"},
    {"configmaps", "--namespace", "weir-system", "--field-selector", "metadata.name=weir-config"}};

const std::vector<std::pair<std::string, std::string>> kAgentFiles = {
    {"status.json", "/v1/status"},     {"endpoints.json", "/v1/endpoints"},
    {"services.json", "/v1/services"}, {"flows.jsonl", "/v1/flows?last=8192&quiet=0"},
    {"metrics.txt", "/metrics"},       {"version.json", "/v1/version"}};

class Dump {
 public:
  Dump(const Kubectl& kubectl, fs::path folder) : kubectl_(kubectl), folder_(std::move(folder)) {}

  void take_all() {
    take("version.json", kubectl_.ask({"version", "-o", "json"}));
    for (const auto& what : kObjects) take_objects(what);
    const auto pods = agent_pods(kubectl_);
    if (!pods) return take("agents", pods.error());
    for (const AgentPod& pod : *pods) take_logs(pod);
    take_agents();
  }
  int failed() const { return failed_; }

 private:
  // What could not be had is said in its place.
  void take(const fs::path& name, const Result<std::string>& text) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << (text ? *text : "could not be had: " + text.error().text() + "\n");
    if (!text) ++failed_;
  }

  void take_objects(const std::vector<std::string>& what) {
    std::vector<std::string> words = {"get"};
    words.insert(words.end(), what.begin(), what.end());
    words.insert(words.end(), {"-o", "json"});
    auto text = kubectl_.ask(words);
    if (text) text = redacted(*text);
    take(fs::path("objects") / (what.front() + ".json"), text);
  }

  void take_logs(const AgentPod& pod) {
    const std::vector<std::string> words = {"logs",  "--namespace",      kNamespace,
                                            pod.pod, "--all-containers", "--tail=20000"};
    take(fs::path("nodes") / pod.node / "agent.log", kubectl_.ask(words));
    auto before = words;
    before.push_back("--previous");
    const auto text = kubectl_.run(before);
    if (text && text->status == 0) {
      take(fs::path("nodes") / pod.node / "agent.previous.log", text->out);
    }
  }

  void take_agents() {
    AgentOptions whom;
    whom.cluster = true;
    whom.kube.kubectl = kubectl_;
    const auto agents = find_agents(whom);
    if (!agents) return take("agents", agents.error());
    for (const Agent& agent : *agents) {
      for (const auto& [name, target] : kAgentFiles) {
        take(fs::path("nodes") / agent.node / name,
             api::get(agent.socket, target, std::chrono::seconds(30)));
      }
    }
  }

  const Kubectl& kubectl_;
  fs::path folder_;
  int failed_ = 0;
};

Result<void> pack(const fs::path& parent, const std::string& name, const std::string& path) {
  WEIR_ASSIGN(const auto done, run_program({"tar", "--create", "--gzip", "--file", path,
                                            "--directory", parent.string(), name}));
  if (done.status == 0) return {};
  return Error(Code::kUnavailable, "tar: " + done.err);
}

Result<void> dump(const Options& options) {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  const std::string name = fmt::format("weir-sysdump-{:%Y%m%d-%H%M%S}", fmt::gmtime(now));
  const std::string path = options.path.empty() ? name + ".tar.gz" : options.path;
  std::string scratch = fs::temp_directory_path() / "weir-XXXXXX";
  if (mkdtemp(scratch.data()) == nullptr) return errno_error(errno, scratch);
  Dump collected(options.kube.kubectl, fs::path(scratch) / name);
  collected.take_all();
  const auto packed = pack(scratch, name, path);
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  WEIR_TRY(packed);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, ignored);
  if (options.output == Output::kJson) {
    fmt::print("{}\n", Json({{"file", path}, {"missing", collected.failed()}}).dump());
    return {};
  }
  fmt::print("{}\n", path);
  if (collected.failed() > 0) {
    say("note: {} parts could not be had; the files say why", collected.failed());
  }
  return {};
}

int run(const Options& options) {
  const auto done = dump(options);
  return done ? kOk : fail(done.error());
}

}  // namespace

void add_sysdump(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb(
      "sysdump", "Objects, logs and the agents' state in one archive, without secrets");
  verb.option("-f,--file", options->path, "The archive (default: weir-sysdump-TIME.tar.gz)")
      .placeholder("FILE");
  options->kube.add_to(verb);
  verb.output(options->output)
      .examples(
          "kubectl weir sysdump\n"
          "kubectl weir sysdump --file /tmp/fault.tar.gz")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
