#pragma once

#include <functional>
#include <memory>

#include "k8s/manifests.h"
#include "local/job.h"

namespace weir::local {

bool has_pre_stop(const Container& container);

// lifecycle.preStop of one container. What comes of the command does not matter.
class PreStop {
 public:
  // `done` is called once, from the loop.
  // REQUIRES: has_pre_stop(container).
  PreStop(Loop& loop, const Container& container, const ExecInPod& exec, Clock::duration limit,
          std::function<void()> done);
  ~PreStop();
  PreStop(const PreStop&) = delete;
  PreStop& operator=(const PreStop&) = delete;

  bool done() const { return !done_; }

 private:
  void finish();

  Loop& loop_;
  std::function<void()> done_;
  std::unique_ptr<Job> job_;
  Loop::Id timer_ = 0;
};

}  // namespace weir::local
