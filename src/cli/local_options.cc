#include "cli/local_options.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "cli/say.h"
#include "local/up.h"

namespace weir::cli {
namespace {

std::string last_lines(const std::string& path, int lines) {
  auto text = read_file(path, 64 << 20).value_or("");
  while (text.ends_with('\n')) text.pop_back();
  std::size_t begin = text.size();
  for (int i = 0; i < lines && begin != std::string::npos && begin > 0; ++i) {
    begin = text.rfind('\n', begin - 1);
  }
  return begin == std::string::npos ? text : text.substr(begin);
}

}  // namespace

void LocalOptions::add_to(Command& command) {
  command.option("--name", name, "Name of the local cluster (default: default)")
      .placeholder("NAME")
      .option("--run-dir", run_dir, "Where clusters keep their files (default: /run/weir/local)")
      .placeholder("DIR");
}

local::Paths LocalOptions::paths() const { return {std::filesystem::absolute(run_dir), name}; }

Result<LockFile> LocalOptions::lock() const {
  WEIR_TRY(local::check_name(name));  // it names files
  WEIR_TRY(make_dirs(run_dir, 0755));
  auto lock = LockFile::acquire(fmt::format("{}/.{}.lock", run_dir, name));
  if (lock || lock.error().code() != Code::kExists) return lock;
  return Error(lock.error().code(), fmt::format("cluster '{}' is being made or taken down: {}",
                                                name, lock.error().text()));
}

void LocalOptions::forget() const {
  static_cast<void>(remove_file(fmt::format("{}/.{}.lock", run_dir, name)));
  local::remove_empty_base(paths());
}

bool print_findings(const ManifestsResult& loaded) {
  for (const auto& warning : loaded.warnings) say("warning: {}", warning);
  for (const auto& error : loaded.errors) say(error);
  return loaded.ok();
}

std::string hints(const std::string& name, const local::ClusterStatus& status) {
  const auto suffix = name == "default" ? "" : " --name " + name;
  std::string text = "\nTry next:\n";
  text += fmt::format("  weir monitor{}          every flow, by pod name\n", suffix);
  if (!status.pods.empty()) {
    const auto& pod = status.pods.front();
    const auto key = fmt::format("{}/{}", pod.namespace_, pod.name);
    text += fmt::format("  weir exec{} {} -- ip address\n", suffix, key);
    text += fmt::format("  weir logs{} -f {}\n", suffix, key);
  }
  return text + fmt::format("  weir down{}\n", suffix);
}

std::string controller_log_end(const local::Paths& paths) {
  return last_lines(paths.controller_log(), 3);
}

std::string agent_log_ends(const local::Paths& paths) {
  std::string text;
  for (const auto& node : list_dir(paths.root() + "/nodes").value_or(std::vector<std::string>())) {
    text +=
        fmt::format("log of the agent of {}:\n{}\n", node, last_lines(paths.agent_log(node), 5));
  }
  return text;
}

}  // namespace weir::cli
