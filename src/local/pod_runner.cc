// A pod's sandbox: files, namespaces, CNI ADD and DEL, and what is tried again. Its processes:
// pod_processes.cc.

#include "local/pod_runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "k8s/json.h"
#include "local/cgroup.h"
#include "local/dns.h"
#include "local/naming.h"
#include "local/netns_files.h"
#include "sys/files.h"

namespace weir::local {
namespace {

constexpr std::chrono::milliseconds kFirstRetry(200);
constexpr std::chrono::milliseconds kLastRetry(10'000);

std::string resolv_conf(const Cluster& cluster, const std::string& ns) {
  if (cluster.dns.empty()) {
    return "# Written by weir. The cluster has no DNS: names are in /etc/hosts.\n"
           "options timeout:1 attempts:1\n";
  }
  return fmt::format(
      "# Written by weir.\n"
      "search {0}.svc.{1} svc.{1} {1}\n"
      "nameserver {2}\n"
      "options ndots:5\n",
      ns, kClusterDomain, dns_address(cluster).to_string());
}

}  // namespace

PodRunner::PodRunner(PodContext& context, const NodeHandle& node, DesiredPod wanted,
                     std::uint64_t order)
    : context_(context),
      node_(node),
      manifest_(std::move(wanted.manifest)),
      hash_(std::move(wanted.hash)),
      order_(order),
      pod_(to_model(manifest_)) {
  pod_.uid = make_uid();
  pod_.node = node_.node.name;
  pod_.workload = std::move(wanted.workload);
  record_.key = pod_.key();
  record_.workload = pod_.workload;
  record_.uid = pod_.uid;
  record_.node = pod_.node;
  record_.host_network = pod_.host_network;
}

PodRunner::~PodRunner() {
  context_.loop.remove(timer_);
  context_.loop.remove(init_watch_);
  context_.loop.remove(report_watch_);
}

void PodRunner::begin() {
  write_object();
  make_sandbox();
}

void PodRunner::stop() {
  if (pod_.terminating) return;
  pod_.terminating = true;
  refresh();
  if (init_) return end_containers();
  if (job_) return;  // its end will look at `terminating`
  context_.loop.remove(timer_);
  detach(Then::kGone);
}

Result<void> PodRunner::prepare_files() {
  const auto folder = context_.paths.pod(pod_.key());
  WEIR_TRY(make_dirs(folder));
  WEIR_TRY(make_dirs(context_.paths.pod_log(pod_.key())));
  WEIR_TRY(write_file_atomic(context_.paths.pod_resolv_conf(pod_.key()),
                             resolv_conf(context_.cluster, pod_.namespace_), 0644));
  if (!node_.cgroup.empty()) {
    record_.cgroup = fmt::format("{}/pod-{}", node_.cgroup, record_.container_id.substr(0, 12));
    WEIR_TRY(make_cgroup(record_.cgroup));
  }
  if (pod_.host_network) return {};
  WEIR_TRY(make_netns_file(context_.paths.pod_netns(pod_.key())));
  return {};
}

void PodRunner::make_sandbox() {
  record_.container_id = make_container_id();
  record_.init = {};
  if (auto made = prepare_files(); !made) {
    problem_ = made.error().text();
    return detach(Then::kAgain);
  }
  write_record();
  if (!pod_.host_network) return attach();
  pod_.addresses = node_.node.addresses;
  launch();
}

CniCall PodRunner::call(const char* command) const {
  return {.plugin = context_.cluster.cni,
          .command = command,
          .container_id = record_.container_id,
          .netns = context_.paths.pod_netns(pod_.key()),
          .pod = pod_.key(),
          .pod_uid = pod_.uid,
          .run_dir = context_.paths.node_run(pod_.node),
          .state_dir = context_.paths.node_state(pod_.node),
          .bandwidth = bandwidth_of(manifest_)};
}

void PodRunner::attach() {
  record_.attached = true;
  write_record();
  auto job =
      call_cni(context_.loop, call("ADD"), node_.netns.fd(), [this](const CniAnswer& answer) {
        const auto done = std::move(job_);
        attached(answer);
      });
  if (!job) return retry(job.error().text(), [this] { attach(); });
  job_ = std::move(*job);
}

void PodRunner::attached(const CniAnswer& answer) {
  if (pod_.terminating) return detach(Then::kGone);
  if (answer.code == kCniTryAgain) return retry(answer.message, [this] { attach(); });
  if (answer.code != 0) {
    problem_ = fmt::format("CNI ADD: {} (code {})", answer.message, answer.code);
    return detach(Then::kAgain);
  }
  pod_.addresses = answer.addresses;
  launch();
}

void PodRunner::retry(std::string problem, std::function<void()> what) {
  problem_ = std::move(problem);
  backoff_ = std::clamp(backoff_ * 2, kFirstRetry, kLastRetry);
  timer_ = context_.loop.after(backoff_, std::move(what));
  context_.changed();
}

void PodRunner::detach(Then then) {
  then_ = then;
  containers_.clear();
  if (!record_.attached) return detached({});
  auto job =
      call_cni(context_.loop, call("DEL"), node_.netns.fd(), [this](const CniAnswer& answer) {
        const auto done = std::move(job_);
        detached(answer);
      });
  if (!job) return retry(job.error().text(), [this] { detach(then_); });
  job_ = std::move(*job);
}

void PodRunner::detached(const CniAnswer& answer) {
  if (pod_.terminating) then_ = Then::kGone;
  if (answer.code != 0) {
    return retry(fmt::format("CNI DEL: {} (code {})", answer.message, answer.code),
                 [this] { detach(then_); });
  }
  remove_sandbox();
  if (then_ == Then::kAgain) {
    refresh();
    return retry(problem_, [this] { make_sandbox(); });
  }
  finished_ = true;
  if (then_ == Then::kGone) {
    std::error_code ignored;
    std::filesystem::remove_all(context_.paths.pod(pod_.key()), ignored);
    static_cast<void>(
        remove_file(context_.paths.objects() + "/" + object_path(Kind::kPod, pod_.key())));
    gone_ = true;
  } else {
    write_record();
    refresh();
  }
  context_.changed();
}

void PodRunner::remove_sandbox() {
  auto removed = remove_netns_file(context_.paths.pod_netns(pod_.key()));
  if (removed) removed = remove_cgroup(record_.cgroup);
  if (!removed) problem_ = removed.error().text();
  record_.attached = false;
  record_.cgroup.clear();
  pod_.addresses.clear();
}

void PodRunner::update_hosts() {
  if (finished_ || gone_) return;
  auto text = context_.hosts(pod_);
  if (text == hosts_) return;
  // In place: the file is mounted in the pod, so it must stay the same file.
  const auto path = context_.paths.pod_hosts(pod_.key());
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return;
  if (pwrite(file.get(), text.data(), text.size(), 0) < 0 ||
      ftruncate(file.get(), static_cast<off_t>(text.size())) != 0) {
    return;
  }
  hosts_ = std::move(text);
}

void PodRunner::write_object() {
  const auto path = context_.paths.objects() + "/" + object_path(Kind::kPod, pod_.key());
  auto written = make_dirs(path.substr(0, path.rfind('/')));
  if (written) written = write_file_atomic(path, to_json(pod_));
  if (!written) problem_ = written.error().text();
}

void PodRunner::write_record() {
  const auto written = write_file_atomic(context_.paths.pod_record(pod_.key()), to_json(record_));
  if (!written) problem_ = written.error().text();
}

}  // namespace weir::local
