#include "cli/change.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/agents.h"
#include "cli/say.h"
#include "cli/stop_signal.h"
#include "local/dns.h"
#include "local/summary.h"
#include "local/up.h"

namespace weir::cli {
namespace {

using local::Waited;

Result<std::set<std::string>> namespaces(const local::Applied& applied) {
  WEIR_ASSIGN(const auto now, applied.load());
  std::set<std::string> names = {local::kDnsNamespace};
  for (const auto& ns : now.namespaces) names.insert(ns.meta.name);
  return names;
}

int wait_settled(const ChangeOptions& options, const local::Paths& paths, std::uint64_t revision) {
  const auto stop = stop_signal();
  const auto waited = wait_for_status(
      paths, std::chrono::seconds(options.wait_seconds), stop.get(),
      [&](const auto& status) { return status.revision >= revision && status.settled(); });
  if (waited == Waited::kEnough) return kOk;
  if (waited == Waited::kStopped) return 130;
  const auto status = read_status(paths);
  say("not settled after {} s:\n{}", options.wait_seconds,
      status ? complaints(*status) : status.error().text());
  return kError;
}

void print_outcomes(Output output, const std::vector<local::Applied::Outcome>& outcomes) {
  if (output == Output::kJson) {
    fmt::print("{}", to_json(outcomes));
    return;
  }
  for (const auto& outcome : outcomes) fmt::print("{}\n", to_text(outcome));
}

}  // namespace

int run_change(const ChangeOptions& options, const Change& change) {
  const auto paths = options.local.paths();
  if (geteuid() != 0) {
    return fail(Error(Code::kDenied, "a local cluster belongs to root; use sudo"));
  }
  const auto cluster = find_cluster(paths);
  if (!cluster) return fail(cluster.error());
  if (!controller_runs(paths)) {
    return fail(Error(Code::kUnavailable,
                      fmt::format("the controller of cluster '{0}' has died: `weir down --name {0}`"
                                  " and `weir up` begin anew",
                                  paths.name)));
  }
  local::Applied applied(paths.applied());
  const auto known = namespaces(applied);
  if (!known) return fail(known.error());
  const auto loaded = load_manifests(options.manifests, *known);
  if (!print_findings(loaded)) return kUsage;
  const auto outcomes = change(applied, *cluster, loaded.manifests);
  if (!outcomes) return fail(outcomes.error());
  std::fflush(stdout);
  print_outcomes(options.output, *outcomes);
  if (options.wait_seconds == 0) return kOk;
  std::fflush(stdout);
  return wait_settled(options, paths, applied.revision().value_or(0));
}

}  // namespace weir::cli
