#include "local/up.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>

#include "cli/agents.h"
#include "cli/local_options.h"
#include "cli/say.h"
#include "cli/stop_signal.h"
#include "cli/verbs.h"
#include "local/applied.h"
#include "local/dns.h"
#include "local/summary.h"
#include "sys/cgroup.h"

namespace weir::cli {
namespace {

using local::Waited;

struct Options {
  LocalOptions local;
  std::vector<std::string> manifests;
  local::Cluster cluster;
  std::string tunnel = "vxlan";
  std::string family = "dual";
  std::string zones;
  std::uint64_t wait_seconds = 60;
  Output output = Output::kText;
};

void choose_dns(local::Cluster& cluster) {
  const auto beside = cluster.programs + "/coredns";
  if (cluster.dns.empty() && access(beside.c_str(), X_OK) == 0) cluster.dns = beside;
  if (cluster.dns == "none") cluster.dns.clear();
  if (!cluster.dns.empty()) cluster.dns = std::filesystem::absolute(cluster.dns);
}

Result<local::Cluster> make_request(const Options& options, const local::Paths& paths) {
  auto cluster = options.cluster;
  cluster.name = paths.name;
  cluster.tunnel = options.tunnel == "vxlan";
  WEIR_ASSIGN(cluster.families, local::parse_families(options.family));
  WEIR_ASSIGN(cluster.zones, local::parse_zones(options.zones));
  cluster.programs = local::own_folder();
  if (cluster.agent.empty()) cluster.agent = cluster.programs + "/weir-agent";
  if (cluster.cni.empty()) cluster.cni = cluster.programs + "/weir-cni";
  choose_dns(cluster);
  WEIR_TRY(check_cluster(cluster));
  WEIR_TRY(check_machine(cluster));
  const auto cgroups = find_cgroup2();
  if (!cgroups.empty()) cluster.cgroup = fmt::format("{}/weir/{}", cgroups, cluster.name);
  return cluster;
}

// Tells how far it is, when that has changed.
Waited wait_with_progress(const local::Paths& paths, std::uint64_t seconds, int stop_fd,
                          const std::function<bool(const local::ClusterStatus&)>& enough) {
  std::string last;
  return wait_for_status(paths, std::chrono::seconds(seconds), stop_fd, [&](const auto& status) {
    auto line = progress_line(status);
    if (line != last) say(line);
    last = std::move(line);
    return enough(status);
  });
}

int undo(const Options& options, const local::Paths& paths, const std::string& why, int code) {
  std::signal(SIGPIPE, SIG_IGN);  // as `weir down`
  say(why);
  if (const auto down = take_down(paths, [](std::string_view) {}); !down) fail(down.error());
  options.local.forget();
  return code;
}

int print_result(const Options& options, const local::Cluster& cluster,
                 const local::ClusterStatus& status) {
  if (options.output == Output::kJson) {
    fmt::print("{}", to_json(status));
  } else {
    fmt::print("{}{}", summary(cluster, status), hints(cluster.name, status));
  }
  return kOk;
}

// What is there stays when pods are late: their logs say why. Without agents there is nothing to
// stay.
int ended(const Options& options, const local::Paths& paths, const local::Cluster& cluster,
          Waited waited) {
  const auto status = read_status(paths);
  switch (waited) {
    case Waited::kEnough:
      return status ? print_result(options, cluster, *status) : fail(status.error());
    case Waited::kStopped:
      return undo(options, paths, "interrupted: taking everything down", 130);
    case Waited::kDead:
      return undo(options, paths, "the controller has ended: " + controller_log_end(paths), kError);
    case Waited::kLate:
      break;
  }
  const auto why = status ? complaints(*status) : "  the controller says nothing\n";
  const auto text = fmt::format("not ready after {} s:\n{}", options.wait_seconds, why);
  if (!status || !status->agents_ready())
    return undo(options, paths, text + agent_log_ends(paths), kError);
  say(text + fmt::format("the cluster stays up: see `weir logs`; `weir down --name {}` ends it",
                         cluster.name));
  return kError;
}

int run(const Options& options) {
  const auto paths = options.local.paths();
  const auto cluster = make_request(options, paths);
  if (!cluster) return fail(cluster.error());
  const auto loaded = load_manifests(options.manifests, {local::kDnsNamespace});
  if (!print_findings(loaded)) return kUsage;
  if (const auto pods = local::count_pods(loaded.manifests); pods > local::kMaxPods) {
    return fail(Error(Code::kInvalid, fmt::format("{} pods: a local cluster has at most {}", pods,
                                                  local::kMaxPods)));
  }
  if (cluster->cgroup.empty()) {
    say("no cgroup2 hierarchy is mounted: pods and agents get no cgroups of their own");
  }
  const auto lock = options.local.lock();
  if (!lock) return fail(lock.error());
  const auto stop = stop_signal();  // an interruption waits until it can be undone
  if (const auto up =
          bring_up(paths, *cluster, loaded.manifests, [](std::string_view line) { say(line); });
      !up) {
    options.local.forget();
    return fail(up.error());
  }
  const auto waited =
      wait_with_progress(paths, options.wait_seconds, stop.get(), [](const auto& status) {
        return status.revision > 0 && status.agents_ready() && status.settled();
      });
  return ended(options, paths, *cluster, waited);
}

}  // namespace

void add_up(Program& program) {
  auto options = std::make_shared<Options>();
  Command& verb = program.verb("up", "Make a local cluster from Kubernetes manifests");
  verb.argument("MANIFESTS", options->manifests,
                "YAML files, directories of them, or - for standard input", false)
      .option("--nodes", options->cluster.nodes, "Number of nodes, 1 to 8 (default: 2)")
      .placeholder("N")
      .option("--tunnel", options->tunnel, "Between nodes: vxlan or none (default: vxlan)")
      .one_of({"vxlan", "none"})
      .option("--family", options->family, "ipv4, ipv6 or dual (default: dual)")
      .one_of({"ipv4", "ipv6", "dual"})
      .option("--zones", options->zones, "Zones of the nodes, in turn: a,b (default: none)")
      .placeholder("ZONES")
      .option("--wait", options->wait_seconds, "How long pods may take to be ready (default: 60)")
      .placeholder("SECONDS")
      .option("--agent", options->cluster.agent, "Program of the agent (default: beside weir)")
      .placeholder("PATH")
      .option("--dns", options->cluster.dns,
              "CoreDNS, or none: names in /etc/hosts (default: coredns beside weir, else none)")
      .placeholder("PATH")
      .option("--cni", options->cluster.cni, "Program of the CNI plugin (default: beside weir)")
      .placeholder("PATH");
  options->local.add_to(verb);
  verb.output(options->output)
      .examples(
          "weir up examples/shop\n"
          "weir up pods.yaml --nodes 3 --tunnel none\n"
          "weir up examples/shop --name second --family ipv6")
      .run([options] { return run(*options); });
}

}  // namespace weir::cli
