#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "local/agent_runner.h"
#include "local/applied.h"
#include "local/balancer.h"
#include "local/cluster.h"
#include "local/desired.h"
#include "local/dns.h"
#include "local/loop.h"
#include "local/paths.h"
#include "local/pod_runner.h"
#include "local/slice_writer.h"
#include "local/status.h"

namespace weir::local {

// Scheduler, kubelet and Deployment controller of a local cluster in one loop: makes what was
// applied true, and writes the objects that the agents read.
class Controller {
 public:
  static Result<std::unique_ptr<Controller>> open(const Paths& paths);
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // Until SIGTERM. Agents and pods stay as they are then.
  Result<void> run();

 private:
  Controller(Paths paths, Cluster cluster);
  Result<void> open_nodes();
  Result<void> watch_applied();
  Result<void> watch_signals();
  void reload();
  void write_objects();
  void publish_endpoints();
  std::vector<EndpointSlice> slices_of(const ObjectKey& service) const;
  Result<void> update_balancer();
  Result<void> update_dns();
  void soon();
  void reconcile();
  void look_again();
  void create(const DesiredPod& pod);
  void drop_gone();
  void limit_logs();
  void publish();
  ClusterStatus status() const;
  std::vector<Pod> pods() const;
  ExistingPod existing(const PodRunner& runner) const;
  const NodeHandle* node(const std::string& name) const;

  Paths paths_;
  Cluster cluster_;
  Loop loop_;
  PodContext context_;
  Applied applied_;
  Manifests manifests_;
  std::uint64_t revision_ = 0;
  std::string problem_;
  Desired desired_;
  std::uint64_t created_pods_ = 0;
  std::map<ObjectKey, std::string> unplaced_;   // why
  std::map<std::string, std::string> written_;  // objects of this controller: path -> content
  SliceWriter slices_;
  std::optional<Balancer> balancer_;
  std::optional<DnsFiles> dns_;
  std::string status_text_;
  std::vector<std::unique_ptr<NodeHandle>> nodes_;
  std::vector<std::unique_ptr<AgentRunner>> agents_;
  std::map<ObjectKey, std::unique_ptr<PodRunner>> pods_;
  Loop::Id soon_ = 0;
  Loop::Id look_again_ = 0;
  Fd inotify_;
  Fd signals_;
};

// What `weir up` starts in the background.
int run_controller(const Paths& paths);

}  // namespace weir::local
