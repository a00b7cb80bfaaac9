// Taking a cluster down, whatever state it is in: each step does what it can, the first failure is
// told at the end.

#include <fmt/format.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "k8s/json.h"
#include "local/cgroup.h"
#include "local/cni.h"
#include "local/netns_files.h"
#include "local/pod_record.h"
#include "local/process.h"
#include "local/underlay.h"
#include "local/up.h"
#include "sys/cgroup.h"
#include "sys/files.h"

namespace weir::local {
namespace {

using std::chrono::milliseconds;

class Teardown {
 public:
  explicit Teardown(const Paths& paths) : paths_(paths) {}

  Result<bool> run(const Progress& progress);

 private:
  bool anything() const;
  void note(const Result<void>& result) {
    if (!result && !failure_) failure_ = result.error();
  }
  void read_pods();
  void read_cluster();
  void end(const std::vector<Process>& processes, milliseconds grace);
  std::vector<Process> recorded(const std::vector<std::string>& files) const;
  void detach_pods();
  void remove_pods();
  void remove_nodes();
  void remove_files();

  const Paths& paths_;
  std::string cgroup_;
  std::string cni_;
  std::vector<std::string> nodes_;
  std::vector<PodRecord> pods_;
  std::optional<Error> failure_;
};

// The cgroup of a cluster that died before it wrote its file.
std::string usual_cgroup(const Paths& paths) {
  const auto root = find_cgroup2();
  return root.empty() ? root : fmt::format("{}/weir/{}", root, paths.name);
}

// Names of namespaces know nothing of the base folder: without the cluster's own folder only the
// usual one says whose they are.
bool Teardown::anything() const {
  const auto exists = [](const std::string& path) { return access(path.c_str(), F_OK) == 0; };
  return exists(paths_.root()) || (paths_.base == kDefaultBase && exists(paths_.underlay_netns()));
}

void Teardown::read_cluster() {
  cgroup_ = usual_cgroup(paths_);
  for (std::uint64_t i = 0; i < kMaxNodes; ++i) nodes_.push_back(fmt::format("n{}", i));
  const auto text = read_file(paths_.cluster_file());
  const auto cluster = text ? parse_cluster(*text) : text.error();
  if (!cluster) return;
  cgroup_ = cluster->cgroup;
  cni_ = cluster->cni;
}

void Teardown::read_pods() {
  const auto namespaces = list_dir(paths_.pods());
  if (!namespaces) return;
  for (const auto& ns : *namespaces) {
    const auto names = list_dir(paths_.pods() + "/" + ns);
    if (!names) continue;
    for (const auto& name : *names) {
      const auto text = read_file(paths_.pod_record({ns, name}), 16 << 20);
      auto record = text ? parse_pod_record(*text) : text.error();
      // Without a record there is at most a namespace, which goes by its path.
      if (!record) {
        record = PodRecord{};
        record->key = {ns, name};
      }
      pods_.push_back(std::move(*record));
    }
  }
}

std::vector<Process> Teardown::recorded(const std::vector<std::string>& files) const {
  std::vector<Process> processes;
  for (const auto& file : files) {
    const auto text = read_file(file);
    const auto process = text ? parse_process(*text) : text.error();
    if (process) processes.push_back(*process);
  }
  return processes;
}

void Teardown::end(const std::vector<Process>& processes, milliseconds grace) {
  note(end_processes(processes, grace));
}

// The plugin is asked only where an agent answers: what it would keep for later goes with the node.
void Teardown::detach_pods() {
  Loop loop;
  std::size_t open = 0;
  std::vector<std::unique_ptr<Job>> jobs;
  for (const auto& pod : pods_) {
    const auto netns = Netns::open(paths_.netns_path(pod.node));
    const auto agent = recorded({paths_.agent_record(pod.node)});
    if (!pod.attached || !netns || agent.empty() || !is_alive(agent.front())) continue;
    const CniCall call{.plugin = cni_,
                       .command = "DEL",
                       .container_id = pod.container_id,
                       .netns = paths_.pod_netns(pod.key),
                       .pod = pod.key,
                       .pod_uid = pod.uid,
                       .run_dir = paths_.node_run(pod.node),
                       .state_dir = paths_.node_state(pod.node)};
    auto job = call_cni(loop, call, netns->fd(), [&](const CniAnswer&) {
      if (--open == 0) loop.stop();
    });
    if (!job) continue;
    ++open;
    jobs.push_back(std::move(*job));
  }
  loop.after(std::chrono::seconds(20), [&loop] { loop.stop(); });
  if (open > 0) loop.run();
}

void Teardown::remove_pods() {
  for (const auto& pod : pods_) note(remove_netns_file(paths_.pod_netns(pod.key)));
}

void Teardown::remove_nodes() {
  note(remove_underlay(paths_));
  for (const auto& node : nodes_) {
    const auto bpffs = paths_.node_bpffs(node);
    // Another mount namespace may hold a copy of the mount, and with it every pin.
    for (const auto& pin : list_dir(bpffs).value_or(std::vector<std::string>())) {
      std::error_code ignored;
      std::filesystem::remove_all(bpffs + "/" + pin, ignored);
    }
    if (umount2(bpffs.c_str(), MNT_DETACH) != 0 && errno != ENOENT && errno != EINVAL) {
      note(errno_error(errno, bpffs));
    }
  }
}

void Teardown::remove_files() {
  std::error_code failed;
  std::filesystem::remove_all(paths_.root(), failed);
  if (failed) note(Error(Code::kKernel, fmt::format("{}: {}", paths_.root(), failed.message())));
  if (!cgroup_.empty()) {
    std::filesystem::remove(std::filesystem::path(cgroup_).parent_path(), failed);
  }
}

Result<bool> Teardown::run(const Progress& progress) {
  if (!anything()) return false;
  read_cluster();
  progress("ending the controller");
  end(recorded({paths_.controller_record()}), milliseconds(0));
  read_pods();
  progress(fmt::format("ending {} pod{}", pods_.size(), pods_.size() == 1 ? "" : "s"));
  std::vector<Process> inits;
  for (const auto& pod : pods_) {
    if (pod.init.pid > 0) inits.push_back(pod.init);
  }
  end(inits, milliseconds(1000));
  detach_pods();
  progress("ending agents and removing the nodes");
  std::vector<std::string> agents;
  for (const auto& node : nodes_) agents.push_back(paths_.agent_record(node));
  end(recorded(agents), milliseconds(5000));
  note(remove_cgroup(cgroup_));
  remove_pods();
  remove_nodes();
  remove_files();
  if (failure_) return *failure_;
  return true;
}

}  // namespace

void remove_empty_base(const Paths& paths) {
  std::error_code not_empty;
  std::filesystem::remove(paths.base, not_empty);
  if (paths.base != kDefaultBase) return;
  std::filesystem::remove(std::filesystem::path(kDefaultBase).parent_path(), not_empty);
}

Result<bool> take_down(const Paths& paths, const Progress& progress) {
  return Teardown(paths).run(progress);
}

}  // namespace weir::local
