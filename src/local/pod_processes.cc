// A pod's processes: its init, what that reports, and readiness.

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "local/cgroup.h"
#include "local/container.h"
#include "local/dns.h"
#include "local/enter.h"
#include "local/log_limit.h"
#include "local/pod_runner.h"

namespace weir::local {
namespace {

std::string text_of(const Probe& probe) {
  switch (probe.type) {
    case Probe::Type::kHttpGet:
      return fmt::format("GET {} at port {}", probe.path, probe.port);
    case Probe::Type::kTcpSocket:
      return fmt::format("TCP port {}", probe.port);
    case Probe::Type::kExec:
      return fmt::format("exec {}", fmt::join(probe.command, " "));
  }
  return "?";
}

Restart restart_of(RestartPolicy policy) {
  switch (policy) {
    case RestartPolicy::kAlways:
      return Restart::kAlways;
    case RestartPolicy::kOnFailure:
      return Restart::kOnFailure;
    case RestartPolicy::kNever:
      return Restart::kNever;
  }
  return Restart::kAlways;
}

constexpr int kInitBroken = 125;
constexpr std::chrono::seconds kLeastGrace(2);  // after a preStop that took all of the time

}  // namespace

// CoreDNS, and what it reads.
std::vector<InitMount> PodRunner::mounts() const {
  const auto& cluster = context_.cluster;
  const bool is_dns = pod_.namespace_ == kDnsNamespace && pod_.workload == kDnsDeployment;
  if (!is_dns || cluster.dns.empty()) return {};
  return {{context_.paths.dns(), kDnsFolder}, {cluster.dns, kDnsProgram}};
}

void PodRunner::launch() {
  hosts_.clear();
  update_hosts();
  if (auto started = start_init(); !started) {
    problem_ = started.error().text();
    return detach(Then::kAgain);
  }
  problem_.clear();  // what kept it from getting here is over
  refresh();
}

Result<void> PodRunner::start_init() {
  const auto host = node_.node.addresses.empty() ? Address() : node_.node.addresses.front();
  record_.containers.clear();
  for (const auto& container : manifest_.spec.containers) {
    record_.containers.push_back(
        make_container(container, pod_, manifest_.meta.annotations, host,
                       fmt::format("{}/{}", context_.paths.pod_log(pod_.key()), container.name)));
  }
  const InitSpec spec{.hostname = pod_.name,
                      .hosts = context_.paths.pod_hosts(pod_.key()),
                      .resolv_conf = context_.paths.pod_resolv_conf(pod_.key()),
                      .programs = context_.cluster.programs,
                      .mounts = mounts(),
                      .restart = restart_of(manifest_.spec.restart_policy),
                      .containers = record_.containers};
  WEIR_ASSIGN(const auto input, text_file(to_json(spec)));
  const auto& netns_path = context_.paths.pod_netns(pod_.key());
  std::optional<Netns> own;
  if (!pod_.host_network) {
    WEIR_ASSIGN(own, Netns::open(netns_path));
  }
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return errno_error(errno, "socketpair");
  }
  reports_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  Launch launch;
  launch.program = "/proc/self/exe";
  launch.argv = {"weir", "local-init", pod_.key().to_string()};
  launch.netns = own ? own->fd() : node_.netns.fd();
  launch.in = input.get();
  launch.err = STDERR_FILENO;
  launch.keep = theirs.get();
  launch.cgroup = record_.cgroup;
  launch.session = true;
  launch.namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
  WEIR_ASSIGN(auto started, start(launch));
  record_.init = started.process;
  init_ = std::move(started.pidfd);
  write_record();
  containers_.resize(record_.containers.size());
  init_watch_ = context_.loop.watch(init_.get(), POLLIN, [this] { init_ended(); });
  report_watch_ = context_.loop.watch(reports_.get(), POLLIN, [this] { read_reports(); });
  return {};
}

void PodRunner::read_reports() {
  char text[4096];
  while (true) {
    const ssize_t n = recv(reports_.get(), text, sizeof text, MSG_DONTWAIT);
    if (n == 0) {
      context_.loop.remove(report_watch_);
      report_watch_ = 0;
    }
    if (n <= 0) return;
    const auto report = parse_report({text, static_cast<std::size_t>(n)});
    if (!report || report->container >= containers_.size()) continue;
    switch (report->type) {
      case InitReport::Type::kStarted:
        container_started(report->container);
        break;
      case InitReport::Type::kExited:
        container_exited(report->container, report->code);
        break;
      case InitReport::Type::kBroken:
        problem_ = report->text;
        break;
    }
  }
}

void PodRunner::container_started(std::size_t index) {
  auto& container = containers_[index];
  container.running = true;
  const auto& probe = manifest_.spec.containers[index].readiness;
  if (probe && !pod_.addresses.empty()) {
    container.prober =
        std::make_unique<Prober>(context_.loop, *probe, pod_.addresses.front(), node_.netns.fd(),
                                 exec_in(index), [this] { refresh(); });
  }
  pod_.phase = PodPhase::kRunning;
  refresh();
}

void PodRunner::container_exited(std::size_t index, int code) {
  auto& container = containers_[index];
  container.running = false;
  container.prober.reset();
  if (pod_.terminating) return refresh();
  ++restarts_;
  problem_ = fmt::format("container {} ended with code {}", record_.containers[index].name, code);
  refresh();
}

ExecInPod PodRunner::exec_in(std::size_t index) {
  return
      [this, index](const std::vector<std::string>& argv, Clock::duration limit, Job::Done done) {
        const auto& paths = context_.paths;
        Launch launch;
        launch.program = "/proc/self/exe";
        launch.argv = {"weir",
                       "exec",
                       "--name",
                       paths.name,
                       "--run-dir",
                       paths.base,
                       "-c",
                       record_.containers[index].name,
                       pod_.key().to_string(),
                       "--"};
        launch.argv.insert(launch.argv.end(), argv.begin(), argv.end());
        launch.end_signal = kEndCommand;
        return Job::start(context_.loop, std::move(launch), "", limit, std::move(done));
      };
}

void PodRunner::end_containers() {
  const std::chrono::seconds grace(manifest_.spec.termination_grace_seconds);
  timer_ = context_.loop.after(grace, [this] { grace_over(); });
  for (std::size_t i = 0; i < containers_.size(); ++i) end_container(i);
}

void PodRunner::end_container(std::size_t index) {
  const auto& spec = manifest_.spec.containers[index];
  auto& container = containers_[index];
  if (!container.running || !has_pre_stop(spec)) return tell_stop(index);
  const std::chrono::seconds grace(manifest_.spec.termination_grace_seconds);
  container.pre_stop = std::make_unique<PreStop>(context_.loop, spec, exec_in(index), grace,
                                                 [this, index] { tell_stop(index); });
}

void PodRunner::tell_stop(std::size_t index) {
  const auto text = stop_command(index);
  if (send(reports_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) return;
  static_cast<void>(signal_process(record_.init, SIGTERM));
}

void PodRunner::grace_over() {
  bool late = false;
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    auto& hook = containers_[i].pre_stop;
    if (!hook || hook->done()) continue;
    hook.reset();
    tell_stop(i);
    late = true;
  }
  timer_ = context_.loop.after(late ? kLeastGrace : std::chrono::seconds(0), [this] {
    static_cast<void>(signal_process(record_.init, SIGKILL));
  });
}

void PodRunner::init_ended() {
  read_reports();
  const int code = wait_for(init_.get());
  context_.loop.remove(init_watch_);
  context_.loop.remove(report_watch_);
  context_.loop.remove(timer_);
  init_.reset();
  reports_.reset();
  record_.init = {};
  containers_.clear();
  if (pod_.terminating) {
    refresh();
    return detach(Then::kGone);
  }
  const bool may_end = manifest_.spec.restart_policy != RestartPolicy::kAlways;
  if (may_end && (code == 0 || code == 1)) {
    pod_.phase = code == 0 ? PodPhase::kSucceeded : PodPhase::kFailed;
    refresh();
    return detach(Then::kFinished);
  }
  if (code != kInitBroken) problem_ = fmt::format("the pod's first process ended with {}", code);
  refresh();
  detach(Then::kAgain);
}

void PodRunner::limit_logs() const {
  for (const auto& container : record_.containers) {
    static_cast<void>(limit_log(container.log, kMaxLog, kKeptLog));
  }
}

std::string PodRunner::problem() const {
  if (!problem_.empty() || pod_.terminating) return problem_;
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    const auto& spec = manifest_.spec.containers[i];
    if (!containers_[i].prober || containers_[i].prober->ready()) continue;
    return fmt::format("container {}: no good answer to its readiness probe, {}", spec.name,
                       text_of(*spec.readiness));
  }
  return {};
}

// Ready and the object follow from the containers; a pod that is to go serves while it runs.
void PodRunner::refresh() {
  const auto& specs = manifest_.spec.containers;
  bool ready = !containers_.empty();
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    const auto& c = containers_[i];
    ready = ready && c.running && (!specs[i].readiness || (c.prober && c.prober->ready()));
  }
  if (ready) {
    problem_.clear();
    backoff_ = {};
  }
  if (ready && !pod_.ready) ready_since_ = Clock::now();
  pod_.ready = ready;
  if (!gone_) write_object();
  context_.changed();
}

}  // namespace weir::local
