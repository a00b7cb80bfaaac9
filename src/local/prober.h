#pragma once

#include <memory>
#include <string>

#include "base/address.h"
#include "base/fd.h"
#include "k8s/manifests.h"
#include "local/job.h"
#include "local/loop.h"
#include "local/readiness.h"

namespace weir::local {

// True for an answer of 200 to 399, false for another; the text is the beginning of an HTTP answer.
bool is_good_answer(std::string_view text);
std::string probe_request(const Probe& probe, const Address& address);

// Sends a container's readiness probes from its node, or runs them in the pod. Until the first good
// answer it asks more often than the probe's period says, so that a cluster comes up quickly.
class Prober {
 public:
  // `target`: the pod's address. `changed` is called when ready() has changed.
  Prober(Loop& loop, const Probe& probe, const Address& target, int node_netns, ExecInPod exec,
         std::function<void()> changed);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  bool ready() const { return readiness_.ready(); }

 private:
  void begin();
  void begin_exec();
  void writable();
  void readable();
  void answer(bool good);
  void schedule(Clock::duration delay);
  void hang_up();

  Loop& loop_;
  Probe probe_;
  Address target_;
  int node_netns_;
  ExecInPod exec_;
  std::unique_ptr<Job> job_;
  std::function<void()> changed_;
  Readiness readiness_;
  bool was_ready_ = false;
  Clock::time_point begun_;
  std::string received_;
  Fd socket_;
  Loop::Id watch_ = 0;
  Loop::Id timer_ = 0;
};

}  // namespace weir::local
