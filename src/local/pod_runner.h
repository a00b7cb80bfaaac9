#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "k8s/manifests.h"
#include "local/cluster.h"
#include "local/cni.h"
#include "local/desired.h"
#include "local/loop.h"
#include "local/paths.h"
#include "local/pod_record.h"
#include "local/pre_stop.h"
#include "local/prober.h"
#include "sys/netns.h"

namespace weir::local {

// A node as pods see it.
struct NodeHandle {
  LocalNode node;
  Netns netns;
  std::string cgroup;  // empty: none
};

// What every pod's runner shares. Outlives the runners.
struct PodContext {
  Loop& loop;
  const Paths& paths;
  const Cluster& cluster;
  std::function<std::string(const Pod&)> hosts;  // content of the pod's /etc/hosts
  std::function<void()> changed;                 // some pod's state is another
};

// One pod from its namespaces to its end: sandbox, CNI ADD, containers, probes, preStop, SIGTERM,
// CNI DEL. What goes wrong is tried again, ever more slowly, as a kubelet does.
class PodRunner {
 public:
  // order: grows from pod to pod.
  PodRunner(PodContext& context, const NodeHandle& node, DesiredPod wanted, std::uint64_t order);
  ~PodRunner();
  PodRunner(const PodRunner&) = delete;
  PodRunner& operator=(const PodRunner&) = delete;

  void begin();
  void stop();

  const Pod& pod() const { return pod_; }
  const PodSpec& spec() const { return manifest_.spec; }
  const std::string& hash() const { return hash_; }  // of the manifest it was made from
  std::uint64_t order() const { return order_; }
  Clock::time_point ready_since() const { return ready_since_; }
  bool gone() const { return gone_; }
  unsigned restarts() const { return restarts_; }
  // Why it is not running, or empty.
  std::string problem() const;
  void update_hosts();
  void limit_logs() const;

 private:
  struct RunningContainer {
    bool running = false;
    std::unique_ptr<Prober> prober;
    std::unique_ptr<PreStop> pre_stop;
  };
  enum class Then { kAgain, kFinished, kGone };

  void make_sandbox();
  Result<void> prepare_files();
  void attach();
  void attached(const CniAnswer& answer);
  void launch();
  Result<void> start_init();
  std::vector<InitMount> mounts() const;
  void read_reports();
  void container_started(std::size_t index);
  void container_exited(std::size_t index, int code);
  void end_containers();
  void end_container(std::size_t index);
  void tell_stop(std::size_t index);
  void grace_over();
  ExecInPod exec_in(std::size_t index);
  void init_ended();
  void detach(Then then);
  void detached(const CniAnswer& answer);
  void remove_sandbox();
  void retry(std::string problem, std::function<void()> what);
  void refresh();
  void write_object();
  void write_record();
  CniCall call(const char* command) const;

  PodContext& context_;
  const NodeHandle& node_;
  PodManifest manifest_;
  std::string hash_;
  std::uint64_t order_;
  Clock::time_point ready_since_;
  Pod pod_;
  PodRecord record_;
  std::string problem_;
  unsigned restarts_ = 0;
  bool gone_ = false;
  bool finished_ = false;
  Then then_ = Then::kAgain;
  std::string hosts_;
  std::vector<RunningContainer> containers_;
  std::chrono::milliseconds backoff_{0};
  Loop::Id timer_ = 0;
  std::unique_ptr<Job> job_;
  Fd init_;
  Fd reports_;
  Loop::Id init_watch_ = 0;
  Loop::Id report_watch_ = 0;
};

}  // namespace weir::local
