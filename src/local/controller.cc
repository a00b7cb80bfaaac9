// The controller's making and its inputs: nodes, applied manifests, signals. What follows from
// them: controller_reconcile.cc.

#include "local/controller.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>

#include "local/cgroup.h"
#include "local/hosts.h"
#include "local/log_limit.h"
#include "sys/files.h"

namespace weir::local {

Controller::Controller(Paths paths, Cluster cluster)
    : paths_(std::move(paths)),
      cluster_(std::move(cluster)),
      context_{loop_, paths_, cluster_,
               [this](const Pod& self) {
                 if (!cluster_.dns.empty()) return render_hosts(self);
                 std::vector<Service> services;
                 for (const auto& s : manifests_.services) services.push_back(to_model(s));
                 return render_hosts(self, pods(), services);
               },
               [this] { soon(); }},
      applied_(paths_.applied()),
      slices_(paths_.objects()) {}

Controller::~Controller() = default;

Result<std::unique_ptr<Controller>> Controller::open(const Paths& paths) {
  WEIR_ASSIGN(const auto text, read_file(paths.cluster_file()));
  WEIR_ASSIGN(auto cluster, parse_cluster(text));
  std::unique_ptr<Controller> controller(new Controller(paths, std::move(cluster)));
  WEIR_TRY(controller->open_nodes());
  WEIR_TRY(controller->watch_applied());
  WEIR_TRY(controller->watch_signals());
  return controller;
}

Result<void> Controller::open_nodes() {
  for (auto& node : cluster_.make_nodes()) {
    WEIR_ASSIGN(auto netns, Netns::open(paths_.netns_path(node.name)));
    const auto cgroup = cluster_.cgroup.empty() ? "" : cluster_.cgroup + "/" + node.name;
    nodes_.push_back(std::make_unique<NodeHandle>(node, std::move(netns), cgroup));
    agents_.push_back(
        std::make_unique<AgentRunner>(loop_, paths_, cluster_, *nodes_.back(), [this] { soon(); }));
  }
  WEIR_ASSIGN(balancer_, Balancer::open(paths_.underlay_netns()));
  if (!cluster_.dns.empty()) WEIR_TRY(dns_.emplace(paths_.dns()).open(cluster_));
  return {};
}

Result<void> Controller::watch_applied() {
  inotify_ = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_ || inotify_add_watch(inotify_.get(), paths_.applied().c_str(), IN_MOVED_TO) < 0) {
    return errno_error(errno, paths_.applied());
  }
  loop_.watch(inotify_.get(), POLLIN, [this] {
    alignas(inotify_event) char buffer[4096];
    while (read(inotify_.get(), buffer, sizeof buffer) > 0) {
    }
    reload();
  });
  return {};
}

Result<void> Controller::watch_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return errno_error(errno, "sigprocmask");
  signals_ = Fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return errno_error(errno, "signalfd");
  loop_.watch(signals_.get(), POLLIN, [this] { loop_.stop(); });
  return {};
}

Result<void> Controller::run() {
  reload();
  limit_logs();
  for (const auto& agent : agents_) agent->begin();
  loop_.run();
  return {};
}

void Controller::reload() {
  const auto revision = applied_.revision();
  auto manifests = applied_.load();
  if (!manifests || !revision) {
    problem_ = (manifests ? revision.error() : manifests.error()).text();
    return publish();
  }
  problem_.clear();
  manifests_ = std::move(*manifests);
  revision_ = *revision;
  desired_ = make_desired(manifests_);
  write_objects();
  reconcile();
}

void Controller::limit_logs() {
  for (const auto& [key, runner] : pods_) runner->limit_logs();
  for (const auto& agent : agents_) {
    static_cast<void>(limit_log(paths_.agent_log(agent->node()), kMaxLog, kKeptLog));
  }
  loop_.after(std::chrono::seconds(10), [this] { limit_logs(); });
}

// Changes come in bunches: one look at all of them.
void Controller::soon() {
  if (soon_ != 0) return;
  soon_ = loop_.after(std::chrono::milliseconds(10), [this] {
    soon_ = 0;
    drop_gone();
    reconcile();
  });
}

int run_controller(const Paths& paths) {
  prctl(PR_SET_NAME, "weir-local");
  auto lock = LockFile::acquire(paths.controller_lock());
  auto controller = lock ? Controller::open(paths) : lock.error();
  const auto ended = controller ? (*controller)->run() : controller.error();
  if (ended) return 0;
  fmt::print(stderr, "weir local-controller: {}\n", ended.error().text());
  return 1;
}

}  // namespace weir::local
