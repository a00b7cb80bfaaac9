#include "local/up.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "local/applied.h"
#include "local/cgroup.h"
#include "local/dns.h"
#include "local/process.h"
#include "local/underlay.h"
#include "sys/files.h"

namespace weir::local {
namespace {

Result<void> check_program(const std::string& path, std::string_view option) {
  if (access(path.c_str(), X_OK) == 0) return {};
  return Error(
      Code::kNotFound,
      fmt::format("{} is not there or no program: build it, or name it by {}", path, option));
}

Result<void> make_node_folders(const Paths& paths, const std::string& node) {
  WEIR_TRY(make_dirs(paths.node_run(node)));
  WEIR_TRY(make_dirs(paths.node_state(node)));
  const auto bpffs = paths.node_bpffs(node);
  WEIR_TRY(make_dirs(bpffs));
  if (mount("bpf", bpffs.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") != 0) {
    return errno_error(errno, fmt::format("mount a BPF file system on {}", bpffs));
  }
  return {};
}

Result<void> make_nodes(const Paths& paths, const Cluster& cluster) {
  for (const auto& node : cluster.make_nodes()) {
    WEIR_TRY(make_node_folders(paths, node.name));
    if (!cluster.cgroup.empty()) WEIR_TRY(make_cgroup(cluster.cgroup + "/" + node.name));
  }
  return make_underlay(paths, cluster);
}

Result<void> start_controller(const Paths& paths, const Cluster& cluster) {
  const Fd log(
      open(paths.controller_log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return errno_error(errno, paths.controller_log());
  Launch launch;
  launch.program = "/proc/self/exe";
  launch.argv = {"weir", "local-controller", "--name", paths.name, "--run-dir", paths.base};
  launch.out = log.get();
  launch.err = log.get();
  launch.cgroup = cluster.cgroup;
  launch.session = true;
  WEIR_ASSIGN(const auto started, start(launch));
  return write_file_atomic(paths.controller_record(), to_json(started.process));
}

Result<void> make_cluster(const Paths& paths, const Cluster& cluster, const Manifests& manifests,
                          const Progress& progress) {
  progress(fmt::format("making {} node{} and their network", cluster.nodes,
                       cluster.nodes == 1 ? "" : "s"));
  WEIR_TRY(write_file_atomic(paths.cluster_file(), to_json(cluster)));
  WEIR_TRY(make_dirs(paths.objects()));
  WEIR_TRY(make_dirs(paths.pods()));
  WEIR_TRY(make_nodes(paths, cluster));
  Applied applied(paths.applied());
  WEIR_TRY(applied.make());
  if (!cluster.dns.empty()) {
    WEIR_TRY(applied.apply(dns_manifests(cluster), kMaxPods, service_ranges(cluster)));
  }
  WEIR_TRY(applied.apply(manifests, kMaxPods, service_ranges(cluster)));
  progress("starting agents and pods");
  return start_controller(paths, cluster);
}

}  // namespace

std::string own_folder() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return failed ? std::string(".") : self.parent_path().string();
}

Result<void> check_machine(const Cluster& cluster) {
  if (geteuid() != 0) {
    return Error(Code::kDenied,
                 "a local cluster needs root: it makes network namespaces; use sudo");
  }
  WEIR_TRY(check_program(cluster.agent, "--agent"));
  WEIR_TRY(check_program(cluster.cni, "--cni"));
  if (!cluster.dns.empty()) WEIR_TRY(check_program(cluster.dns, "--dns"));
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
    return Error(Code::kKernel,
                 "the kernel has no BTF (/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF");
  }
  return {};
}

Result<void> bring_up(const Paths& paths, const Cluster& cluster, const Manifests& manifests,
                      const Progress& progress) {
  WEIR_TRY(make_dirs(paths.base));
  if (mkdir(paths.root().c_str(), 0700) != 0) {
    if (errno != EEXIST) return errno_error(errno, paths.root());
    return Error(Code::kExists,
                 fmt::format("cluster '{0}' is up already: `weir down --name {0}` ends it, "
                             "`weir apply` changes it, --name gives another one its own name",
                             paths.name));
  }
  if (access(paths.underlay_netns().c_str(), F_OK) == 0) {
    rmdir(paths.root().c_str());
    return Error(Code::kExists,
                 fmt::format("{0} is there already: a cluster of this name with another --run-dir, "
                             "or what is left of one (`ip netns delete {0}`)",
                             paths.netns_name("net")));
  }
  auto made = make_cluster(paths, cluster, manifests, progress);
  if (!made) static_cast<void>(take_down(paths, [](std::string_view) {}));
  return made;
}

}  // namespace weir::local
